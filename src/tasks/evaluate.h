// Runs a task model over labelled rows: metrics, and how long each answer took.
#pragma once

#include <functional>
#include <vector>

#include "base/json.h"
#include "eval/dataset.h"
#include "eval/metrics.h"
#include "tasks/predictor.h"

namespace tack {

struct Evaluation {
  Answers answers;
  Metrics metrics;
  std::vector<float> latency_us;  // of single texts, one by one, sorted; up to `timed` rows
  double texts_per_second = 0;    // of all rows in batches
  std::int64_t truncated_rows = 0, truncated_tokens = 0;

  std::vector<bool> right() const;  // per in-scope row
  Json to_json(const std::vector<std::string>& labels) const;
};

struct EvaluateOptions {
  std::size_t timed = 200;
  MetricsOptions metrics;
  std::function<void(std::int64_t rows)> progress;  // rows done since the last call; may be empty
};

// `data` was read with the model's labels. Errors: interruption.
Result<Evaluation> evaluate(TaskPredictor& predictor, const Dataset& data,
                            const EvaluateOptions& options = {});

// p in [0, 1] of sorted values; 0 when empty.
float percentile(const std::vector<float>& sorted, double p);

}  // namespace tack
