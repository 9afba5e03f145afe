// What a model's file says of itself to a guard.
#pragma once

#include "base/json.h"
#include "guard/guard.h"
#include "models/model.h"

namespace tack::guard {

// Heads and labels of a classifier, spans of a tagger, and the thresholds of `tack.guard`:
//   {"heads": {"harm": {"threshold": 0.41, "categories": {"violence": 0.6}}}, ...}
// Errors: kUsage, a model that is neither; numbers that are none, heads and labels that the model
// has not.
Result<GuardModel> guard_model_of(const Model& model);

// The thresholds of such an object, for a model with these heads. `where` stands in errors.
Result<std::map<std::string, HeadThresholds, std::less<>>> parse_head_thresholds(
    const Json& json, const std::vector<TaskHead>& heads, std::string_view where);

}  // namespace tack::guard
