// The gate: nothing replaces anything until it has shown, on rows neither was trained on, that it
// is not worse by more than a margin.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "eval/metrics.h"

namespace tack {

// Accepts when the one-sided lower bound, of 95 % unless asked otherwise, clears what is required:
// against a baseline, of accuracy(candidate) - accuracy(baseline), paired by row, above `margin`;
// against a floor, of accuracy itself, at or above `floor`.
struct GateOptions {
  double margin = -0.01;
  double floor = 0;
  double confidence = 0.95;  // of the bound
  int resamples = 10000;
  std::uint64_t seed = 1;
};

struct GateResult {
  bool accepted = false;
  bool against_baseline = false;
  std::int64_t rows = 0;
  double candidate = 0, baseline = 0;  // accuracies; baseline only with one
  Estimate difference;                 // candidate - baseline, or candidate - floor
  double lower_bound = 0;              // one-sided
  double required = 0;                 // margin, or 0 for a floor
  // When the mean clears what is required and the bound does not: about how many rows of this kind
  // would let it; 0 otherwise.
  std::int64_t rows_needed = 0;
  std::string text;  // one sentence that says all this
};

// Rows are right (true) or wrong; both vectors belong to the same rows.
GateResult gate_against_baseline(const std::vector<bool>& candidate,
                                 const std::vector<bool>& baseline, const GateOptions& options);
GateResult gate_against_floor(const std::vector<bool>& candidate, const GateOptions& options);

// The same for any statistic of rows (a mean of reciprocal ranks, a correlation), which get row
// numbers in [0, rows) as bootstrap() gives them. Without a baseline, `options.floor` is the
// requirement. `what` names the statistic in the sentence.
using RowStatistic = std::function<double(std::span<const std::int64_t>)>;
GateResult gate_statistic(const std::string& what, std::int64_t rows, const RowStatistic& candidate,
                          const RowStatistic& baseline, const GateOptions& options);

// The smallest loss of accuracy that a paired test on `rows` rows can tell from none, when a share
// `discordant` of the answers differ: the half width of the bound, z(0.95) sqrt(discordant / rows).
// With 3 % discordant, an equal model needs about 810 rows to pass a margin of -1 point.
double detectable_loss(std::int64_t rows, double discordant = 0.03);

}  // namespace tack
