// What a classifier's answers are worth, with bootstrap intervals.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tack {

// A number with its 95 % percentile-bootstrap interval (Efron and Tibshirani 1993, chapter 13).
struct Estimate {
  double value = 0, low = 0, high = 0;
};

struct ClassMetrics {
  double precision = 0, recall = 0, f1 = 0;
  std::int64_t support = 0;  // rows that have this label
};

struct ReliabilityBin {
  std::int64_t count = 0;
  double confidence = 0, accuracy = 0;  // means over the rows of the bin
};

inline constexpr int kReliabilityBins = 15;

// What the model said about rows; the row's true label is in [0, classes) or kOutOfScope.
struct Answers {
  std::int32_t classes = 0;
  std::vector<std::int32_t> truth;
  std::vector<std::int32_t> predicted;   // the most probable label
  std::vector<float> confidence;         // its probability
  std::vector<float> score;              // in-scope score; empty when no row is out of scope
  std::vector<float> truth_probability;  // of the true label; 0 for out-of-scope rows
  std::vector<bool> flagged;             // called out of scope

  std::size_t size() const { return truth.size(); }
};

struct OutOfScopeMetrics {
  Estimate auroc;            // of -score, out of scope against in scope
  Estimate recall;           // of out-of-scope rows, how many were flagged
  Estimate in_scope_recall;  // of in-scope rows, how many were right and not flagged
  Estimate accuracy;         // of all rows, how many were right: their label, or flagged
  double false_alarms = 0;   // of in-scope rows, how many were flagged
  std::int64_t rows = 0;
};

struct Metrics {
  std::int64_t rows = 0;  // in scope
  Estimate accuracy, macro_f1, ece;
  double log_loss = 0;  // mean, in nats
  std::vector<ClassMetrics> per_class;
  std::vector<std::int64_t> confusion;  // [classes, classes], row = truth
  std::vector<ReliabilityBin> reliability;
  std::optional<OutOfScopeMetrics> out_of_scope;  // when such rows were there
};

// The in-scope rows give accuracy, F1 and calibration (the threshold does not count there);
// out-of-scope rows the rest.
struct MetricsOptions {
  int resamples = 1000;
  std::uint64_t seed = 1;
};
Metrics compute_metrics(const Answers& answers, const MetricsOptions& options = {});

// Area under the ROC curve: the chance that a random positive scores above a random negative, ties
// counted half (Mann and Whitney). 0.5 when one side is empty.
double auroc(std::span<const float> positives, std::span<const float> negatives);

// Percentiles of a statistic over resamples of rows [0, rows). `statistic` gets the row numbers.
Estimate bootstrap(std::int64_t rows, const MetricsOptions& options,
                   const std::function<double(std::span<const std::int64_t>)>& statistic);

}  // namespace tack
