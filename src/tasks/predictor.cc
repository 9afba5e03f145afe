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

Result<float> number(const Json& calibration, const char* key, float fallback,
                     std::string_view where) {
  const auto found = calibration.find(key);
  if (found == calibration.end() || found->is_null()) return fallback;
  if (!found->is_number() || !std::isfinite(found->get<float>()))
    return fail("{}: '{}' is not a number", where, key);
  return found->get<float>();
}

std::string names_of(const std::vector<TaskHead>& heads) {
  std::string names;
  for (const TaskHead& head : heads) names += (names.empty() ? "" : ", ") + head.name;
  return names;
}

}  // namespace

Result<Calibration> Calibration::parse(const Json& json, std::string_view where) {
  Calibration out;
  TACK_TRY(out.temperature, number(json, "temperature", 1, where));
  TACK_TRY(out.threshold, number(json, "threshold", 0, where));
  if (const auto found = json.find("multilabel"); found != json.end()) {
    if (!found->is_boolean()) return fail("{}: 'multilabel' is not true or false", where);
    out.multilabel = found->get<bool>();
  }
  if (out.temperature <= 0)
    return fail("{}: temperature {} is not above 0", where, out.temperature);
  return out;
}

Result<Calibration> Calibration::of(const Model& model) {
  const Json* calibration = model.tack_metadata("calibration");
  if (calibration == nullptr) return Calibration();
  return parse(*calibration, model.path().string() + ": tack.calibration");
}

Result<std::vector<TaskHead>> task_heads(const Model& model) {
  const std::vector<std::string>& labels = model.labels();
  const Json* stored = model.tack_metadata("heads");
  std::vector<TaskHead> heads;
  if (stored == nullptr) {
    TACK_TRY(const Calibration calibration, Calibration::of(model));
    heads.push_back({"", 0, labels, calibration});
    return heads;
  }
  const std::string where = model.path().string() + ": tack.heads";
  const auto list = stored->find("heads");
  if (list == stored->end() || !list->is_array()) return fail("{} is not a list of heads", where);
  std::size_t first = 0;
  for (const Json& json : *list) {
    const auto name = json.find("name"), count = json.find("labels");
    if (!json.is_object() || name == json.end() || !name->is_string() || count == json.end() ||
        !count->is_number_unsigned())
      return fail("{}: head {} lacks a name or a count of labels", where, heads.size() + 1);
    const auto rows = count->get<std::size_t>();
    if (rows < 1 || rows > labels.size() - first)
      return fail("{}: head '{}' has {} labels, of the model's {} are left {}", where,
                  name->get<std::string>(), rows, labels.size(), labels.size() - first);
    TaskHead head{name->get<std::string>(), first, {}, {}};
    if (head.name.empty() || std::ranges::find(heads, head.name, &TaskHead::name) != heads.end())
      return fail("{}: the name '{}' is empty or there twice", where, head.name);
    const auto begin = labels.begin() + static_cast<std::ptrdiff_t>(first);
    head.labels.assign(begin, begin + static_cast<std::ptrdiff_t>(rows));
    TACK_TRY(head.calibration, Calibration::parse(json, where + ": " + head.name));
    heads.push_back(std::move(head));
    first += rows;
  }
  if (first != labels.size())
    return fail("{}: {} of the model's {} labels belong to no head", where, labels.size() - first,
                labels.size());
  return heads;
}

Result<std::size_t> find_head(const std::vector<TaskHead>& heads, std::string_view name,
                              std::string_view model) {
  if (name.empty() && heads.size() == 1) return 0;
  if (name.empty())
    return fail(ErrorCode::kUsage, "{} has several heads; choose one: {}", model, names_of(heads));
  const auto found = std::ranges::find(heads, name, &TaskHead::name);
  if (found != heads.end()) return static_cast<std::size_t>(found - heads.begin());
  if (heads.front().name.empty())
    return fail(ErrorCode::kUsage, "{} has one head, without a name: '{}' is none of it", model,
                name);
  return fail(ErrorCode::kUsage, "{} has no head '{}'; it has: {}", model, name, names_of(heads));
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
                                                           const EncoderOptions& options,
                                                           std::string_view head) {
  TACK_TRY(auto predictor, open_heads(path, options));
  TACK_RETURN_IF_ERROR(predictor->choose(head));
  return predictor;
}

Status TaskPredictor::choose(std::string_view head) {
  TACK_TRY(head_, find_head(heads_, head, model().path().string()));
  return {};
}

Result<std::unique_ptr<TaskPredictor>> TaskPredictor::open_heads(const std::filesystem::path& path,
                                                                 const EncoderOptions& options) {
  TACK_TRY(auto model, Model::open(path));
  if (model->labels().empty())
    return fail(ErrorCode::kUsage,
                "{} is an encoder without labels: make a task model of it with `tack build`",
                path.string());
  TACK_TRY(auto heads, task_heads(*model));
  TACK_TRY(auto encoder, TextEncoder::create(std::move(model), options));
  if (encoder->output_dim("logits") != static_cast<std::int64_t>(encoder->model().labels().size()))
    return fail("{}: {} labels, but the head has {} rows", path.string(),
                encoder->model().labels().size(), encoder->output_dim("logits"));
  return std::unique_ptr<TaskPredictor>(new TaskPredictor(std::move(encoder), std::move(heads)));
}

Result<std::vector<Prediction>> TaskPredictor::predict(std::span<const std::string_view> texts) {
  return predict(texts, std::span(heads_).subspan(head_, 1));
}

Result<std::vector<Prediction>> TaskPredictor::predict_heads(
    std::span<const std::string_view> texts) {
  return predict(texts, heads_);
}

Result<std::vector<Prediction>> TaskPredictor::predict(std::span<const std::string_view> texts,
                                                       std::span<const TaskHead> heads) {
  TACK_TRY(const Encoded encoded, encoder_->run(texts, kLogits));
  const std::size_t width = model().labels().size();
  std::vector<Prediction> out;
  out.reserve(texts.size() * heads.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto logits = std::span(encoded.outputs[0]).subspan(i * width, width);
    for (const TaskHead& head : heads) {
      out.push_back(head.calibration.apply(logits.subspan(head.first, head.labels.size())));
      out.back().tokens = encoded.info[i].tokens;
      out.back().truncated = encoded.info[i].truncated;
    }
  }
  return out;
}

}  // namespace tack
