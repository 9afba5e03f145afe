#include "tasks/predictor.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "eval/calibration.h"

namespace tack {
namespace {

constexpr std::array<std::string_view, 1> kLogits = {"logits"};

// logits [labels] -> probabilities at a temperature.
std::vector<float> softmax(std::span<const float> logits, float temperature) {
  const float most = *std::ranges::max_element(logits);
  std::vector<float> out(logits.size());
  double sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    out[i] = std::exp((logits[i] - most) / temperature);
    sum += static_cast<double>(out[i]);
  }
  for (float& p : out) p = static_cast<float>(static_cast<double>(p) / sum);
  return out;
}

float sigmoid(float logit, float temperature) {
  return static_cast<float>(
      1 / (1 + std::exp(-static_cast<double>(logit) / static_cast<double>(temperature))));
}

Result<float> number(const Json& calibration, const char* key, float fallback) {
  const auto found = calibration.find(key);
  if (found == calibration.end() || found->is_null()) return fallback;
  if (!found->is_number() || !std::isfinite(found->get<double>()))
    return fail("tack.calibration: '{}' is not a number", key);
  return found->get<float>();
}

}  // namespace

Result<Calibration> Calibration::of(const Model& model) {
  Calibration out;
  const Json* calibration = model.tack_metadata("calibration");
  if (calibration == nullptr) return out;
  TACK_TRY(out.temperature, number(*calibration, "temperature", 1));
  TACK_TRY(out.threshold, number(*calibration, "threshold", 0));
  if (const auto found = calibration->find("multilabel"); found != calibration->end()) {
    if (!found->is_boolean()) return fail("tack.calibration: 'multilabel' is not true or false");
    out.multilabel = found->get<bool>();
  }
  if (out.temperature <= 0)
    return fail("{}: tack.calibration: temperature {} is not above 0", model.path().string(),
                out.temperature);
  return out;
}

Prediction Calibration::apply(std::span<const float> logits) const {
  Prediction p;
  if (multilabel) {
    for (float logit : logits) p.probabilities.push_back(sigmoid(logit, temperature));
    for (std::size_t k = 0; k < logits.size(); ++k)
      if (p.probabilities[k] >= threshold) p.labels.push_back(k);
    std::ranges::stable_sort(p.labels, std::greater{},
                             [&](std::size_t k) { return p.probabilities[k]; });
    p.label = static_cast<std::size_t>(std::ranges::max_element(logits) - logits.begin());
    return p;
  }
  p.probabilities = softmax(logits, temperature);
  p.label =
      static_cast<std::size_t>(std::ranges::max_element(p.probabilities) - p.probabilities.begin());
  p.score = in_scope_score(logits);
  p.out_of_scope = threshold > 0 && p.score < threshold;
  return p;
}

Result<std::unique_ptr<TaskPredictor>> TaskPredictor::open(const std::filesystem::path& path,
                                                           const EncoderOptions& options) {
  TACK_TRY(auto model, Model::open(path));
  if (model->labels().empty())
    return fail(ErrorCode::kUsage,
                "{} is an encoder without labels: make a task model of it with `tack build`",
                path.string());
  TACK_TRY(const Calibration calibration, Calibration::of(*model));
  TACK_TRY(auto encoder, TextEncoder::create(std::move(model), options));
  if (encoder->output_dim("logits") != static_cast<std::int64_t>(encoder->model().labels().size()))
    return fail("{}: {} labels, but the head has {} rows", path.string(),
                encoder->model().labels().size(), encoder->output_dim("logits"));
  return std::unique_ptr<TaskPredictor>(new TaskPredictor(std::move(encoder), calibration));
}

Result<std::vector<Prediction>> TaskPredictor::predict(std::span<const std::string_view> texts) {
  TACK_TRY(const Encoded encoded, encoder_->run(texts, kLogits));
  const std::size_t width = labels().size();
  std::vector<Prediction> out(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    out[i] = calibration_.apply(std::span(encoded.outputs[0]).subspan(i * width, width));
    out[i].tokens = encoded.info[i].tokens;
    out[i].truncated = encoded.info[i].truncated;
  }
  return out;
}

}  // namespace tack
