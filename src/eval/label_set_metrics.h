// What answers of any number of labels a text are worth, with bootstrap intervals over texts.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "eval/metrics.h"

namespace tack {

struct LabelSetAnswers {
  std::size_t labels = 0;
  std::vector<std::vector<std::int32_t>> truth, predicted;  // of each row, ascending
  std::vector<float> probabilities;                         // [rows, labels]

  std::size_t size() const { return truth.size(); }
  std::vector<bool> exact() const;  // rows whose set is right as a whole
};

struct LabelSetMetrics {
  std::int64_t rows = 0;
  Estimate micro_f1, precision, recall;  // over all labels of all rows
  Estimate macro_f1;                     // mean over the labels that occur as truth or answer
  Estimate exact;                        // subset accuracy: rows whose set is right as a whole
  // Label-ranking average precision: at each true label, the share of true ones among those that
  // are at least as probable; mean over a row's labels, then over rows that have some.
  Estimate ranking;
  Estimate ece;  // of every label's probability, over the bins of metrics.h
  std::vector<ClassMetrics> per_label;
};

LabelSetMetrics compute_label_set_metrics(const LabelSetAnswers& answers,
                                          const MetricsOptions& options = {});

// The temperature T in [0.05, 20] that minimises the mean binary cross-entropy of logits / T, as
// fit_temperature() does for softmax. `targets` are 0 or 1.
double fit_sigmoid_temperature(std::span<const float> logits, std::span<const float> targets);

// The probability at and above which a label counts, so that the micro F1 of these rows is largest:
// half-way between two probabilities that occur; of equal ones that nearest to 0.5. 0.5 without any
// true label.
float best_threshold(std::span<const float> probabilities, std::span<const float> targets);

// The micro F1 of "probability >= threshold".
double micro_f1(std::span<const float> probabilities, std::span<const float> targets,
                float threshold);

}  // namespace tack
