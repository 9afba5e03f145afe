#include "tasks/evaluate.h"

#include <algorithm>
#include <span>

namespace tack {

float percentile(const std::vector<float>& sorted, double p) {
  if (sorted.empty()) return 0;
  return sorted[static_cast<std::size_t>(p * static_cast<double>(sorted.size() - 1) + 0.5)];
}

Json interval(const Estimate& e) {
  return {{"value", e.value}, {"low", e.low}, {"high", e.high}};
}

Json latency_json(const std::vector<float>& sorted_us) {
  return {{"p50", percentile(sorted_us, 0.5)},
          {"p90", percentile(sorted_us, 0.9)},
          {"p99", percentile(sorted_us, 0.99)}};
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
      {"latency_us", latency_json(latency_us)},
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
  Evaluation result;
  Answers& answers = result.answers;
  answers.classes = static_cast<std::int32_t>(predictor.labels().size());
  answers.truth = data.labels;
  const std::vector<std::string_view> texts(data.texts.begin(), data.texts.end());
  const auto answer = [&](std::size_t first, std::size_t count) {
    return predictor.predict(std::span(texts).subspan(first, count));
  };
  const auto take = [&](std::size_t first, const std::vector<Prediction>& predictions) {
    for (std::size_t i = 0; i < predictions.size(); ++i) {
      const Prediction& p = predictions[i];
      const std::int32_t truth = data.labels[first + i];
      answers.predicted.push_back(static_cast<std::int32_t>(p.label));
      answers.confidence.push_back(p.probabilities[p.label]);
      answers.score.push_back(p.score);
      answers.truth_probability.push_back(
          truth >= 0 ? p.probabilities[static_cast<std::size_t>(truth)] : 0);
      answers.flagged.push_back(p.out_of_scope);
      result.truncated_rows += p.truncated > 0;
      result.truncated_tokens += p.truncated;
    }
  };
  TACK_RETURN_IF_ERROR(run_timed(data.size(), 1024, options, answer, take, result));
  result.metrics = compute_metrics(answers, options.metrics);
  return result;
}

}  // namespace tack
