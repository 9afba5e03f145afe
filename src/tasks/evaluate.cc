#include "tasks/evaluate.h"

#include <algorithm>
#include <chrono>

namespace tack {
namespace {

using Clock = std::chrono::steady_clock;

Json interval(const Estimate& e) {
  return {{"value", e.value}, {"low", e.low}, {"high", e.high}};
}

}  // namespace

float percentile(const std::vector<float>& sorted, double p) {
  if (sorted.empty()) return 0;
  return sorted[static_cast<std::size_t>(p * static_cast<double>(sorted.size() - 1) + 0.5)];
}

std::vector<bool> Evaluation::right() const {
  std::vector<bool> out;
  for (std::size_t i = 0; i < answers.size(); ++i)
    if (answers.truth[i] >= 0) out.push_back(answers.truth[i] == answers.predicted[i]);
  return out;
}

Json Evaluation::to_json(const std::vector<std::string>& labels) const {
  Json json = {
      {"rows", metrics.rows},
      {"accuracy", metrics.accuracy.value},
      {"accuracy_interval", {metrics.accuracy.low, metrics.accuracy.high}},
      {"macro_f1", metrics.macro_f1.value},
      {"macro_f1_interval", {metrics.macro_f1.low, metrics.macro_f1.high}},
      {"ece", metrics.ece.value},
      {"ece_interval", {metrics.ece.low, metrics.ece.high}},
      {"log_loss", metrics.log_loss},
      {"latency_us",
       {{"p50", percentile(latency_us, 0.5)},
        {"p90", percentile(latency_us, 0.9)},
        {"p99", percentile(latency_us, 0.99)}}},
      {"texts_per_second", texts_per_second},
      {"truncated_rows", truncated_rows},
  };
  if (const auto& out = metrics.out_of_scope)
    json["out_of_scope"] = {{"rows", out->rows},
                            {"auroc", interval(out->auroc)},
                            {"recall", interval(out->recall)},
                            {"in_scope_recall", interval(out->in_scope_recall)},
                            {"accuracy", interval(out->accuracy)},
                            {"false_alarms", out->false_alarms}};
  Json& per_class = json["per_class"] = Json::object();
  for (std::size_t k = 0; k < labels.size(); ++k) {
    const ClassMetrics& c = metrics.per_class[k];
    per_class[labels[k]] = {
        {"precision", c.precision}, {"recall", c.recall}, {"f1", c.f1}, {"support", c.support}};
  }
  return json;
}

Result<Evaluation> evaluate(TaskPredictor& predictor, const Dataset& data,
                            const EvaluateOptions& options) {
  constexpr std::size_t kBatch = 1024;
  Evaluation result;
  Answers& answers = result.answers;
  answers.classes = static_cast<std::int32_t>(predictor.labels().size());
  answers.truth = data.labels;
  double seconds = 0;
  for (std::size_t begin = 0; begin < data.size(); begin += kBatch) {
    const std::size_t count = std::min(kBatch, data.size() - begin);
    const std::vector<std::string_view> texts(
        data.texts.begin() + static_cast<std::ptrdiff_t>(begin),
        data.texts.begin() + static_cast<std::ptrdiff_t>(begin + count));
    const auto start = Clock::now();
    TACK_TRY(const auto predictions, predictor.predict(texts));
    seconds += std::chrono::duration<double>(Clock::now() - start).count();
    for (std::size_t i = 0; i < count; ++i) {
      const Prediction& p = predictions[i];
      const std::int32_t truth = data.labels[begin + i];
      answers.predicted.push_back(static_cast<std::int32_t>(p.label));
      answers.confidence.push_back(p.probabilities[p.label]);
      answers.score.push_back(p.score);
      answers.truth_probability.push_back(
          truth >= 0 ? p.probabilities[static_cast<std::size_t>(truth)] : 0);
      answers.flagged.push_back(p.out_of_scope);
      result.truncated_rows += p.truncated > 0;
      result.truncated_tokens += p.truncated;
    }
    if (options.progress) options.progress(static_cast<std::int64_t>(count));
  }
  result.texts_per_second = seconds > 0 ? static_cast<double>(data.size()) / seconds : 0;
  result.metrics = compute_metrics(answers, options.metrics);
  for (std::size_t i = 0; i < std::min(options.timed, data.size()); ++i) {
    const std::string_view text =
        data.texts[i * data.size() / std::min(options.timed, data.size())];
    const auto start = Clock::now();
    TACK_RETURN_IF_ERROR(predictor.predict({&text, 1}));
    result.latency_us.push_back(
        std::chrono::duration<float, std::micro>(Clock::now() - start).count());
  }
  std::ranges::sort(result.latency_us);
  return result;
}

}  // namespace tack
