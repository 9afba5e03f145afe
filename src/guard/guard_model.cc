#include "guard/guard_model.h"

#include <algorithm>

namespace tack::guard {
namespace {

Result<double> threshold_of(const Json& json, std::string_view where, const std::string& what) {
  if (json.is_number() && json.get<double>() >= 0 && json.get<double>() <= 1)
    return json.get<double>();
  return fail("{}: tack.guard: {} is no number from 0 to 1", where, what);
}

}  // namespace

Result<std::map<std::string, HeadThresholds, std::less<>>> parse_head_thresholds(
    const Json& json, const std::vector<TaskHead>& heads, std::string_view where) {
  std::map<std::string, HeadThresholds, std::less<>> all;
  const Json* given = find_member(json, "heads");
  if (given == nullptr || !given->is_object())
    return fail("{}: tack.guard has no object \"heads\"", where);
  for (const auto& [name, thresholds] : given->items()) {
    const auto head = std::ranges::find(heads, name, &TaskHead::name);
    if (head == heads.end())
      return fail("{}: tack.guard names the head '{}', which the model has not", where, name);
    HeadThresholds& one = all[name];
    if (const Json* score = find_member(thresholds, "threshold"); score != nullptr) {
      TACK_TRY(one.score, threshold_of(*score, where, name + ".threshold"));
    }
    const Json* categories = find_member(thresholds, "categories");
    if (categories == nullptr) continue;
    if (!categories->is_object())
      return fail("{}: tack.guard: {}.categories is no object", where, name);
    for (const auto& [label, value] : categories->items()) {
      if (std::ranges::find(head->labels, label) == head->labels.end())
        return fail("{}: tack.guard names the label '{}', which the head '{}' has not", where,
                    label, name);
      TACK_TRY(one.categories[label], threshold_of(value, where, name + "." + label));
    }
  }
  return all;
}

Result<GuardModel> guard_model_of(const Model& model) {
  GuardModel known;
  known.context_length = model.context_length();
  for (const std::string& tag : model.tags())
    if (tag.starts_with("B-")) known.spans.push_back(tag.substr(2));
  if (!model.labels().empty() && model.tags().empty()) {
    TACK_TRY(known.heads, task_heads(model));
  }
  if (known.heads.empty() && known.spans.empty())
    return fail(ErrorCode::kUsage, "{}: is neither a classifier nor a tagger, as guards ask them",
                model.path().string());
  if (const Json* json = model.tack_metadata("guard"); json != nullptr) {
    TACK_TRY(known.thresholds, parse_head_thresholds(*json, known.heads, model.path().string()));
  }
  return known;
}

Status write_guard_thresholds(const Model& model,
                              const std::map<std::string, HeadThresholds, std::less<>>& thresholds,
                              const Json& about, const std::filesystem::path& path) {
  const GgufFile* gguf = model.gguf();
  if (gguf == nullptr)
    return fail(ErrorCode::kUsage, "{}: thresholds are kept in a GGUF (tack convert makes one)",
                model.path().string());
  TACK_TRY(GuardModel known, guard_model_of(model));
  for (const auto& [name, one] : thresholds) known.thresholds[name] = one;
  Json heads = Json::object();
  for (const auto& [name, one] : known.thresholds) {
    Json& head = heads[name] = Json::object();
    if (one.score) head["threshold"] = *one.score;
    for (const auto& [label, threshold] : one.categories) head["categories"][label] = threshold;
  }
  Json json = {{"heads", std::move(heads)}};
  if (!about.is_null()) json["tuned"] = about;
  GgufWriter writer;
  for (const auto& [key, value] : gguf->metadata()) writer.set(key, value);
  writer.set("tack.guard", GgufValue::string(to_text(json)));
  for (const GgufTensor& tensor : gguf->tensors()) writer.add_tensor_view(tensor.name, tensor.view);
  return writer.write(path);
}

}  // namespace tack::guard
