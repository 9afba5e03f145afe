// What a model's file says of itself to a guard.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

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

// Copies the model's file with other thresholds; `about`, if not null, is kept as "tuned". Heads
// that `thresholds` leaves out keep theirs. Atomic. Errors: a model that is no GGUF.
Status write_guard_thresholds(const Model& model,
                              const std::map<std::string, HeadThresholds, std::less<>>& thresholds,
                              const Json& about, const std::filesystem::path& path);

}  // namespace tack::guard
