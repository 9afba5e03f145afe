// Whether a rule's conditions hold.
#pragma once

#include <optional>
#include <string>

#include "gateway/config.h"
#include "gateway/facts.h"
#include "gateway/local_models.h"

namespace tack::gateway {

// `why`: what decided, for people: the condition that does not hold, or all that do.
struct Verdict {
  bool holds = false;
  std::string why;
};

// All conditions but the intent, which a model has to say: cheap ones first.
Verdict check_conditions(const RuleConfig& rule, const CallFacts& facts);
Verdict check_intent(const RuleConfig::Intent& wanted, const LocalModels::Intent& found);

}  // namespace tack::gateway
