#include "tasks/multilabel.h"

#include <algorithm>
#include <cmath>

namespace tack {

std::vector<float> dense_targets(const Dataset& data) {
  const std::size_t labels = data.label_names.size();
  std::vector<float> targets(data.label_sets.size() * labels, 0.0F);
  for (std::size_t i = 0; i < data.label_sets.size(); ++i)
    for (std::int32_t k : data.label_sets[i]) targets[i * labels + static_cast<std::size_t>(k)] = 1;
  return targets;
}

Json SigmoidCalibration::to_json() const {
  return {{"temperature", temperature}, {"threshold", threshold}, {"multilabel", true}};
}

SigmoidCalibration calibrate_sigmoid(std::span<const float> logits,
                                     std::span<const float> targets) {
  SigmoidCalibration out;
  out.temperature = fit_sigmoid_temperature(logits, targets);
  std::vector<float> p(logits.size());
  for (std::size_t i = 0; i < p.size(); ++i)
    p[i] =
        static_cast<float>(1 / (1 + std::exp(-static_cast<double>(logits[i]) / out.temperature)));
  out.threshold = best_threshold(p, targets);
  out.micro_f1 = micro_f1(p, targets, out.threshold);
  return out;
}

Json LabelSetEvaluation::to_json(const std::vector<std::string>& labels) const {
  Json json = {{"rows", metrics.rows},
               {"micro_f1", interval(metrics.micro_f1)},
               {"precision", interval(metrics.precision)},
               {"recall", interval(metrics.recall)},
               {"macro_f1", interval(metrics.macro_f1)},
               {"exact", interval(metrics.exact)},
               {"ranking", interval(metrics.ranking)},
               {"ece", interval(metrics.ece)},
               {"latency_us", latency_json(latency_us)},
               {"texts_per_second", texts_per_second},
               {"truncated_rows", truncated_rows}};
  Json& per_label = json["per_label"] = Json::object();
  for (std::size_t k = 0; k < labels.size(); ++k) {
    const ClassMetrics& c = metrics.per_label[k];
    per_label[labels[k]] = {
        {"precision", c.precision}, {"recall", c.recall}, {"f1", c.f1}, {"support", c.support}};
  }
  return json;
}

Result<LabelSetEvaluation> evaluate_label_sets(TaskPredictor& predictor, const Dataset& data,
                                               const EvaluateOptions& options) {
  LabelSetEvaluation result;
  LabelSetAnswers& answers = result.answers;
  answers.labels = predictor.labels().size();
  answers.truth = data.label_sets;
  const std::vector<std::string_view> texts(data.texts.begin(), data.texts.end());
  const auto answer = [&](std::size_t first, std::size_t count) {
    return predictor.predict(std::span(texts).subspan(first, count));
  };
  const auto take = [&](std::size_t, const std::vector<Prediction>& predictions) {
    for (const Prediction& p : predictions) {
      std::vector<std::int32_t>& set = answers.predicted.emplace_back();
      for (std::size_t k : p.labels) set.push_back(static_cast<std::int32_t>(k));
      std::ranges::sort(set);
      answers.probabilities.insert(answers.probabilities.end(), p.probabilities.begin(),
                                   p.probabilities.end());
      result.truncated_rows += p.truncated > 0 ? 1 : 0;
    }
  };
  TACK_RETURN_IF_ERROR(run_timed(data.size(), 1024, options, answer, take, result));
  result.metrics = compute_label_set_metrics(answers, options.metrics);
  return result;
}

}  // namespace tack
