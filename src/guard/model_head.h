// One head of a classifier, as a check uses it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "guard/check.h"

namespace tack::guard {

struct ModelHead {
  Check::Model model;
  std::size_t index = 0;
  TaskHead head;
  HeadThresholds thresholds;  // of the model's file
  std::int64_t context = 0;   // tokens

  // The number of a label. Errors: it has none of that name.
  Result<std::size_t> label(const std::string& name) const;
  // What the head says of a text; null: the answer does not fit the head.
  const Prediction* of(const Told& told) const;
};

// `usual`: the head's name when the configuration gives none; "": of a model with one head. A model
// with one head without a name has every usual one. Errors: no such model, no such head, a tagger.
Result<ModelHead> find_model_head(const CheckConfig& config, const GuardConfig& guard,
                                  const FindModel& models, std::string_view usual);

}  // namespace tack::guard
