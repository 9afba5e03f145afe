#include "guard/model_head.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "base/nearest.h"

namespace tack::guard {

Result<std::size_t> ModelHead::label(const std::string& name) const {
  const auto found = std::ranges::find(head.labels, name);
  if (found != head.labels.end()) return static_cast<std::size_t>(found - head.labels.begin());
  return fail(ErrorCode::kUsage, "the model '{}' has no label '{}'{}; it has: {}", model.name, name,
              did_you_mean(name, head.labels), fmt::join(head.labels, ", "));
}

const Prediction* ModelHead::of(const Told& told) const {
  if (index >= told.heads.size()) return nullptr;
  const Prediction& prediction = told.heads[index];
  const bool fits = prediction.probabilities.size() == head.labels.size() &&
                    prediction.label < head.labels.size();
  return fits ? &prediction : nullptr;
}

Result<ModelHead> find_model_head(const CheckConfig& config, const GuardConfig& guard,
                                  const FindModel& models, std::string_view usual) {
  ModelHead found;
  found.model.name = config.model.empty() ? guard.model : config.model;
  TACK_TRY(const GuardModel model, models(found.model.name));
  if (model.heads.empty())
    return fail(ErrorCode::kUsage, "the model '{}' gives texts no label; a classifier does",
                found.model.name);
  const bool nameless = model.heads.size() == 1 && model.heads.front().name.empty();
  if (!nameless || !config.head.empty()) {
    const std::string_view wanted = config.head.empty() ? usual : config.head;
    TACK_TRY(found.index, find_head(model.heads, wanted, found.model.name));
  }
  found.head = model.heads[found.index];
  found.context = model.context_length;
  found.model.heads = model.heads.size();
  if (const auto thresholds = model.thresholds.find(found.head.name);
      thresholds != model.thresholds.end())
    found.thresholds = thresholds->second;
  return found;
}

}  // namespace tack::guard
