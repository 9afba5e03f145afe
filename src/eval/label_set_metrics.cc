#include "eval/label_set_metrics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "eval/calibration.h"

namespace tack {
namespace {

struct Counts {
  std::int64_t hits = 0, said = 0, there = 0;

  double precision() const { return said > 0 ? ratio(hits, said) : 0; }
  double recall() const { return there > 0 ? ratio(hits, there) : 0; }
  double f1() const { return said + there > 0 ? ratio(2 * hits, said + there) : 0; }

 private:
  static double ratio(std::int64_t a, std::int64_t b) {
    return static_cast<double>(a) / static_cast<double>(b);
  }
};

using Rows = std::span<const std::int64_t>;

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

// Of each label, over the rows.
std::vector<Counts> count_labels(const LabelSetAnswers& answers, Rows rows) {
  std::vector<Counts> counts(answers.labels);
  for (std::int64_t row : rows) {
    for (std::int32_t k : answers.truth[at(row)]) ++counts[at(k)].there;
    for (std::int32_t k : answers.predicted[at(row)]) {
      ++counts[at(k)].said;
      counts[at(k)].hits += std::ranges::binary_search(answers.truth[at(row)], k) ? 1 : 0;
    }
  }
  return counts;
}

Counts sum_of(const std::vector<Counts>& counts) {
  Counts sum;
  for (const Counts& c : counts) sum.hits += c.hits, sum.said += c.said, sum.there += c.there;
  return sum;
}

double macro_f1(const std::vector<Counts>& counts) {
  double sum = 0;
  int present = 0;
  for (const Counts& c : counts) {
    if (c.there + c.said == 0) continue;
    sum += c.f1();
    ++present;
  }
  return present > 0 ? sum / present : 0;
}

// Of one row that has labels.
double ranking_precision(std::span<const float> p, const std::vector<std::int32_t>& truth) {
  double sum = 0;
  for (std::int32_t k : truth) {
    const auto as_probable = [&](float other) { return other >= p[at(k)]; };
    const auto above = std::ranges::count_if(p, as_probable);
    const auto right =
        std::ranges::count_if(truth, [&](std::int32_t other) { return as_probable(p[at(other)]); });
    sum += static_cast<double>(right) / static_cast<double>(above);
  }
  return sum / static_cast<double>(truth.size());
}

// The mean of values at rows; those that are NaN are left out.
double mean_of(const std::vector<double>& values, Rows rows) {
  double sum = 0;
  std::int64_t count = 0;
  for (std::int64_t row : rows) {
    if (std::isnan(values[at(row)])) continue;
    sum += values[at(row)];
    ++count;
  }
  return count > 0 ? sum / static_cast<double>(count) : 0;
}

using Gap = std::array<float, kReliabilityBins>;

// Sums of probability - truth of a row's labels, by bin.
Gap gap_of(std::span<const float> p, const std::vector<std::int32_t>& truth) {
  Gap gap{};
  for (std::size_t k = 0; k < p.size(); ++k) {
    const auto bin = std::clamp(static_cast<int>(p[k] * kReliabilityBins), 0, kReliabilityBins - 1);
    const bool there = std::ranges::binary_search(truth, static_cast<std::int32_t>(k));
    gap[at(bin)] += p[k] - (there ? 1.0F : 0.0F);
  }
  return gap;
}

double calibration_error(const std::vector<Gap>& gaps, Rows rows, std::size_t labels) {
  std::array<double, kReliabilityBins> sums{};
  for (std::int64_t row : rows)
    for (std::size_t b = 0; b < sums.size(); ++b) sums[b] += static_cast<double>(gaps[at(row)][b]);
  double total = 0;
  for (double sum : sums) total += std::fabs(sum);
  return rows.empty() ? 0 : total / static_cast<double>(rows.size() * labels);
}

double f1_of(double hits, double said, double there) {
  return said + there > 0 ? 2 * hits / (said + there) : 0;
}

}  // namespace

std::vector<bool> LabelSetAnswers::exact() const {
  std::vector<bool> out;
  for (std::size_t i = 0; i < size(); ++i) out.push_back(truth[i] == predicted[i]);
  return out;
}

LabelSetMetrics compute_label_set_metrics(const LabelSetAnswers& answers,
                                          const MetricsOptions& options) {
  LabelSetMetrics m;
  m.rows = static_cast<std::int64_t>(answers.size());
  std::vector<double> ranking, exact;
  std::vector<Gap> gaps;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const auto p = std::span(answers.probabilities).subspan(i * answers.labels, answers.labels);
    const auto& truth = answers.truth[i];
    ranking.push_back(truth.empty() ? std::nan("") : ranking_precision(p, truth));
    exact.push_back(truth == answers.predicted[i] ? 1 : 0);
    gaps.push_back(gap_of(p, truth));
  }
  const auto over = [&](auto statistic) { return bootstrap(m.rows, options, statistic); };
  m.micro_f1 = over([&](Rows rows) { return sum_of(count_labels(answers, rows)).f1(); });
  m.precision = over([&](Rows rows) { return sum_of(count_labels(answers, rows)).precision(); });
  m.recall = over([&](Rows rows) { return sum_of(count_labels(answers, rows)).recall(); });
  m.macro_f1 = over([&](Rows rows) { return macro_f1(count_labels(answers, rows)); });
  m.exact = over([&](Rows rows) { return mean_of(exact, rows); });
  m.ranking = over([&](Rows rows) { return mean_of(ranking, rows); });
  m.ece = over([&](Rows rows) { return calibration_error(gaps, rows, answers.labels); });
  std::vector<std::int64_t> all(answers.size());
  std::iota(all.begin(), all.end(), 0);
  for (const Counts& c : count_labels(answers, all))
    m.per_label.push_back(
        {.precision = c.precision(), .recall = c.recall(), .f1 = c.f1(), .support = c.there});
  return m;
}

double fit_sigmoid_temperature(std::span<const float> logits, std::span<const float> targets) {
  if (logits.empty()) return 1;
  return least_temperature([&](double log_t) {
    const double factor = std::exp(-log_t);
    double sum = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const double x = static_cast<double>(logits[i]) * factor;
      sum += std::max(x, 0.0) - x * static_cast<double>(targets[i]) +
             std::log1p(std::exp(-std::fabs(x)));
    }
    return sum;
  });
}

float best_threshold(std::span<const float> probabilities, std::span<const float> targets) {
  std::vector<std::pair<float, bool>> order;  // most probable first
  double there = 0;
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    order.emplace_back(probabilities[i], targets[i] > 0.5F);
    there += targets[i] > 0.5F ? 1 : 0;
  }
  if (there == 0) return 0.5F;
  std::ranges::sort(order, std::greater{}, &std::pair<float, bool>::first);
  double hits = 0, best = -1;
  float threshold = 0.5F;
  for (std::size_t i = 0; i < order.size(); ++i) {
    hits += order[i].second ? 1 : 0;
    const float p = order[i].first, next = i + 1 < order.size() ? order[i + 1].first : 0;
    if (i + 1 < order.size() && next == p) continue;
    const double f1 = f1_of(hits, static_cast<double>(i + 1), there);
    const float between = next + (p - next) / 2;
    if (f1 > best || (f1 == best && std::fabs(between - 0.5F) < std::fabs(threshold - 0.5F))) {
      best = f1;
      threshold = between;
    }
  }
  return threshold;
}

double micro_f1(std::span<const float> probabilities, std::span<const float> targets,
                float threshold) {
  double hits = 0, said = 0, there = 0;
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    const bool is = targets[i] > 0.5F, says = probabilities[i] >= threshold;
    hits += is && says ? 1 : 0;
    said += says ? 1 : 0;
    there += is ? 1 : 0;
  }
  return f1_of(hits, said, there);
}

}  // namespace tack
