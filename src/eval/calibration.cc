#include "eval/calibration.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tack {
namespace {

double mean_nll(std::span<const float> logits, std::span<const std::int32_t> labels,
                std::int32_t classes, double temperature) {
  double sum = 0;
  std::int64_t rows = 0;
  const auto width = static_cast<std::size_t>(classes);
  for (std::size_t r = 0; r < labels.size(); ++r) {
    if (labels[r] < 0) continue;
    const auto row = logits.subspan(r * width, width);
    const float most = *std::ranges::max_element(row);
    double total = 0;
    for (float v : row) total += std::exp(static_cast<double>(v - most) / temperature);
    const float own = row[static_cast<std::size_t>(labels[r])];
    sum += std::log(total) - static_cast<double>(own - most) / temperature;
    ++rows;
  }
  return rows > 0 ? sum / static_cast<double>(rows) : 0;
}

}  // namespace

double least_temperature(const std::function<double(double)>& loss) {
  constexpr double kRatio = 0.6180339887498949;
  double low = std::log(0.05), high = std::log(20.0);
  double a = high - kRatio * (high - low), b = low + kRatio * (high - low);
  double loss_a = loss(a), loss_b = loss(b);
  while (high - low > 1e-4) {
    if (loss_a < loss_b) {
      high = b, b = a, loss_b = loss_a;
      a = high - kRatio * (high - low), loss_a = loss(a);
    } else {
      low = a, a = b, loss_a = loss_b;
      b = low + kRatio * (high - low), loss_b = loss(b);
    }
  }
  return std::exp((low + high) / 2);
}

double fit_temperature(std::span<const float> logits, std::span<const std::int32_t> labels,
                       std::int32_t classes) {
  if (std::ranges::none_of(labels, [](std::int32_t label) { return label >= 0; })) return 1;
  return least_temperature(
      [&](double log_t) { return mean_nll(logits, labels, classes, std::exp(log_t)); });
}

float in_scope_score(std::span<const float> logits) {
  double sum = 0;
  for (float v : logits) sum += static_cast<double>(v);
  return static_cast<float>(static_cast<double>(*std::ranges::max_element(logits)) -
                            sum / static_cast<double>(logits.size()));
}

float out_of_scope_threshold(std::span<const float> in_scope_scores, double false_alarms) {
  if (in_scope_scores.empty() || false_alarms <= 0) return 0;
  std::vector<float> sorted(in_scope_scores.begin(), in_scope_scores.end());
  std::ranges::sort(sorted);
  const auto index = static_cast<std::size_t>(false_alarms * static_cast<double>(sorted.size()));
  return sorted[std::min(index, sorted.size() - 1)];
}

}  // namespace tack
