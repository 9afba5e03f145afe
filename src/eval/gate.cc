#include "eval/gate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "base/random.h"

namespace tack {
namespace {

constexpr double kZ95 = 1.6448536269514722;

// Means of resampled `values`, sorted.
std::vector<double> resampled_means(const std::vector<double>& values, const GateOptions& options) {
  Random random(options.seed);
  std::vector<double> means;
  means.reserve(static_cast<std::size_t>(options.resamples));
  for (int i = 0; i < options.resamples; ++i) {
    double sum = 0;
    for (std::size_t r = 0; r < values.size(); ++r) sum += values[random.below(values.size())];
    means.push_back(sum / static_cast<double>(values.size()));
  }
  std::ranges::sort(means);
  return means;
}

double percentile(const std::vector<double>& sorted, double p) {
  return sorted[static_cast<std::size_t>(p * static_cast<double>(sorted.size() - 1))];
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (double v : values) sum += v;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

void decide(const std::vector<double>& differences, const GateOptions& options,
            GateResult& result) {
  result.rows = static_cast<std::int64_t>(differences.size());
  if (differences.empty()) return;
  const auto means = resampled_means(differences, options);
  result.difference = {mean(differences), percentile(means, 0.025), percentile(means, 0.975)};
  result.lower_bound = percentile(means, 1 - options.confidence);
}

// Bounds come closer to the mean as the square root of the rows.
void count_needed(double mean, double required, GateResult& result) {
  if (result.accepted || mean <= required || result.rows == 0) return;
  const double ratio = (mean - result.lower_bound) / (mean - required);
  const double rows = std::ceil(static_cast<double>(result.rows) * ratio * ratio);
  if (!(rows < 1e9)) return;  // the mean is the requirement
  result.rows_needed = static_cast<std::int64_t>(rows);
  result.text +=
      fmt::format("; with about {} rows like these it could be told", result.rows_needed);
}

}  // namespace

GateResult gate_against_baseline(const std::vector<bool>& candidate,
                                 const std::vector<bool>& baseline, const GateOptions& options) {
  std::vector<double> differences;
  double right = 0, baseline_right = 0;
  for (std::size_t i = 0; i < candidate.size() && i < baseline.size(); ++i) {
    right += candidate[i];
    baseline_right += baseline[i];
    differences.push_back((candidate[i] ? 1.0 : 0.0) - (baseline[i] ? 1.0 : 0.0));
  }
  GateResult result;
  result.against_baseline = true;
  result.required = options.margin;
  decide(differences, options, result);
  const double rows = std::max<double>(1, static_cast<double>(result.rows));
  result.candidate = right / rows;
  result.baseline = baseline_right / rows;
  result.accepted = result.rows > 0 && result.lower_bound > options.margin;
  result.text = fmt::format(
      "{}: {:.2f} % against the baseline's {:.2f} % on {} rows; the difference is at least {:+.2f} "
      "points ({:g} %), {:+.2f} is required",
      result.accepted ? "passed" : "refused", 100 * result.candidate, 100 * result.baseline,
      result.rows, 100 * result.lower_bound, 100 * options.confidence, 100 * options.margin);
  count_needed(result.difference.value, options.margin, result);
  return result;
}

GateResult gate_against_floor(const std::vector<bool>& candidate, const GateOptions& options) {
  std::vector<double> above;
  double right = 0;
  for (bool hit : candidate) {
    right += hit;
    above.push_back((hit ? 1.0 : 0.0) - options.floor);
  }
  GateResult result;
  decide(above, options, result);
  result.candidate = right / std::max<double>(1, static_cast<double>(result.rows));
  result.accepted = result.rows > 0 && result.lower_bound >= 0;
  result.text = fmt::format(
      "{}: accuracy {:.2f} % on {} rows is at least {:.2f} % ({:g} %), {:.2f} % is required",
      result.accepted ? "passed" : "refused", 100 * result.candidate, result.rows,
      100 * (result.lower_bound + options.floor), 100 * options.confidence, 100 * options.floor);
  count_needed(result.difference.value, 0, result);
  return result;
}

GateResult gate_statistic(const std::string& what, std::int64_t rows, const RowStatistic& candidate,
                          const RowStatistic& baseline, const GateOptions& options) {
  GateResult result;
  result.against_baseline = static_cast<bool>(baseline);
  result.rows = rows;
  result.required = baseline ? options.margin : 0;
  const auto difference = [&](std::span<const std::int64_t> picked) {
    return candidate(picked) - (baseline ? baseline(picked) : options.floor);
  };
  std::vector<std::int64_t> picked(static_cast<std::size_t>(rows));
  std::iota(picked.begin(), picked.end(), 0);
  result.candidate = candidate(picked);
  if (baseline) result.baseline = baseline(picked);
  const double value = difference(picked);
  std::vector<double> values;
  Random random(options.seed);
  for (int i = 0; i < options.resamples && rows > 0; ++i) {
    for (std::int64_t& row : picked)
      row = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(rows)));
    values.push_back(difference(picked));
  }
  if (!values.empty()) {
    std::ranges::sort(values);
    result.difference = {value, percentile(values, 0.025), percentile(values, 0.975)};
    result.lower_bound = percentile(values, 1 - options.confidence);
    result.accepted = baseline ? result.lower_bound > options.margin : result.lower_bound >= 0;
  }
  const char* const verdict = result.accepted ? "passed" : "refused";
  result.text = baseline
                    ? fmt::format(
                          "{}: {} {:.2f} % against the baseline's {:.2f} % on {} rows; the "
                          "difference is at least {:+.2f} points ({:g} %), {:+.2f} is required",
                          verdict, what, 100 * result.candidate, 100 * result.baseline, rows,
                          100 * result.lower_bound, 100 * options.confidence, 100 * options.margin)
                    : fmt::format(
                          "{}: {} {:.2f} % on {} rows is at least {:.2f} % ({:g} %), {:.2f} % is "
                          "required",
                          verdict, what, 100 * result.candidate, rows,
                          100 * (result.lower_bound + options.floor), 100 * options.confidence,
                          100 * options.floor);
  count_needed(value, result.required, result);
  return result;
}

double detectable_loss(std::int64_t rows, double discordant) {
  return rows > 0 ? kZ95 * std::sqrt(discordant / static_cast<double>(rows)) : 1;
}

}  // namespace tack
