// Any number of labels a text: calibration and measurement. Training is finetune.h, prediction
// predictor.h, the build build.h.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "eval/label_set_metrics.h"
#include "tasks/evaluate.h"
#include "tasks/predictor.h"

namespace tack {

// 1 where a row has a label, else 0: [rows, label_names].
std::vector<float> dense_targets(const Dataset& data);

// Temperature, and one threshold for all labels, which makes the micro F1 of these rows largest
// (labels of few rows have too few to choose their own). Logits of rows that the head was not
// fitted to, [rows, labels].
struct SigmoidCalibration {
  double temperature = 1;
  float threshold = 0.5F;
  double micro_f1 = 0;  // of these rows

  Json to_json() const;  // tack.calibration
};
SigmoidCalibration calibrate_sigmoid(std::span<const float> logits, std::span<const float> targets);

struct LabelSetEvaluation {
  LabelSetAnswers answers;
  LabelSetMetrics metrics;
  std::vector<float> latency_us;  // of single texts, one by one, sorted
  double texts_per_second = 0;
  std::int64_t truncated_rows = 0;

  std::vector<bool> right() const { return answers.exact(); }
  Json to_json(const std::vector<std::string>& labels) const;
};

// `data` has label sets and was read with the model's labels; the model is multilabel. Errors:
// interruption.
Result<LabelSetEvaluation> evaluate_label_sets(TaskPredictor& predictor, const Dataset& data,
                                               const EvaluateOptions& options = {});

}  // namespace tack
