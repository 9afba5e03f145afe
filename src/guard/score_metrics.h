// What a check's scores are worth: how well they part texts that must not pass from others.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "eval/metrics.h"

namespace tack::guard {

struct ScoredRows {
  std::vector<float> scores;         // larger: more likely to trip
  std::vector<bool> positive;        // must not pass
  std::vector<std::string> sources;  // of each row; empty: none is known
  std::vector<float> others;         // another score of the same rows; empty: none
  std::vector<float> latency_us;     // of each row alone; empty: not measured

  std::size_t rows() const { return scores.size(); }
};

// Scores from here on trip: the lowest threshold at which no more than `rate` of these texts, all
// harmless, do. Above 1 when even that trips more. `rate` in [0, 1].
double threshold_for(std::span<const float> negatives, double rate);

struct AtRate {
  double rate = 0;       // of harmless texts that may trip
  double threshold = 0;  // that gives it on these rows
  Estimate recall;       // the threshold is chosen anew in every resample
};

struct SourceMetrics {
  std::string name;
  std::int64_t positives = 0, negatives = 0;
  // Its positives against its negatives; against all of the file's when it has none itself.
  std::optional<Estimate> auroc;
  bool against_all = false;
  std::optional<Estimate> recall, false_positives;  // at the threshold in use
  std::vector<double> recall_at_rates;              // with the thresholds of the whole file
};

struct ScoreReport {
  std::int64_t positives = 0, negatives = 0;
  Estimate auroc;
  std::vector<AtRate> rates;
  double threshold = 0;  // in use
  Estimate recall, false_positives;
  std::vector<SourceMetrics> sources;
  std::optional<Estimate> other_auroc, auroc_difference;  // ours minus the other's, paired
  double p50_us = 0, p99_us = 0;

  Json to_json() const;
  std::string to_text() const;
};

// 95 % intervals from `options.resamples` resamples of rows. Errors: kUsage, rows of one side only.
Result<ScoreReport> measure_scores(const ScoredRows& rows, double threshold,
                                   std::span<const double> rates,
                                   const MetricsOptions& options = {});

// One page with the ROC curve as inline SVG. `facts` are rows of a table at the top.
std::string scores_html(const std::string& title,
                        const std::vector<std::pair<std::string, std::string>>& facts,
                        const ScoredRows& rows, const ScoreReport& report);

}  // namespace tack::guard
