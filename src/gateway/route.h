// Which models a request is to ask, in which order, and why.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/config.h"
#include "gateway/facts.h"
#include "gateway/local_models.h"

namespace tack::gateway {

struct Plan {
  std::string route;                     // "" when a model was addressed by its name
  std::vector<std::string> models;       // asked in this order
  std::optional<double> min_confidence;  // as TargetConfig
  std::string reason;  // one line in words: "rule 'long prompts': 9,120 characters"
};

// What a learned router said of one text (gateway/learned_router.h stands behind it).
struct LearnedChoice {
  std::string model;   // ours
  std::string reason;  // "llama is good enough with probability 0.91 (threshold 0.84)"
};
using AskLearned =
    std::function<net::Async<Expected<LearnedChoice>>(const LearnedConfig&, const CallFacts&)>;

// Why a step did or did not decide, for `tack route explain`.
struct Step {
  std::string name;  // "rule 'long prompts'"
  bool decided = false;
  std::string why;
};

// Rules in their order, then the learned router, then the route's own target. A step that fails
// (the intent model is overloaded) does not decide, and says so.
class RouteDecider {
 public:
  RouteDecider(LocalModels& locals, AskLearned learned)
      : locals_(locals), learned_(std::move(learned)) {}

  net::Async<Plan> decide(const RouteConfig& route, const CallFacts& facts,
                          std::vector<Step>* steps = nullptr) const;

 private:
  LocalModels& locals_;
  const AskLearned learned_;
};

}  // namespace tack::gateway
