// Runs a task model over labelled rows: metrics, and how long each answer took.
#pragma once

#include <algorithm>
#include <chrono>
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

// {"value", "low", "high"}.
Json interval(const Estimate& estimate);
// {"p50", "p90", "p99"} of sorted microseconds.
Json latency_json(const std::vector<float>& sorted_us);

// Answers `rows` rows in batches, and then some of them, spread evenly, one by one: fills
// result.texts_per_second and result.latency_us. answer(first, count) gives a Result of what
// take(first, answers) keeps; only the first is timed.
template <class AnyEvaluation, class Answer, class Take>
Status run_timed(std::size_t rows, std::size_t batch, const EvaluateOptions& options,
                 const Answer& answer, const Take& take, AnyEvaluation& result) {
  using Clock = std::chrono::steady_clock;
  double seconds = 0;
  for (std::size_t first = 0; first < rows; first += batch) {
    const std::size_t count = std::min(batch, rows - first);
    const auto start = Clock::now();
    TACK_TRY(auto answers, answer(first, count));
    seconds += std::chrono::duration<double>(Clock::now() - start).count();
    take(first, answers);
    if (options.progress) options.progress(static_cast<std::int64_t>(count));
  }
  result.texts_per_second = seconds > 0 ? static_cast<double>(rows) / seconds : 0;
  const std::size_t timed = std::min(options.timed, rows);
  for (std::size_t i = 0; i < timed; ++i) {
    const auto start = Clock::now();
    TACK_RETURN_IF_ERROR(answer(i * rows / timed, 1));
    result.latency_us.push_back(
        std::chrono::duration<float, std::micro>(Clock::now() - start).count());
  }
  std::ranges::sort(result.latency_us);
  return {};
}

}  // namespace tack
