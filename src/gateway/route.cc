#include "gateway/route.h"

#include <fmt/ranges.h>

#include "gateway/rules.h"

namespace tack::gateway {
namespace {

net::Async<Verdict> holds(const RuleConfig& rule, const CallFacts& facts, LocalModels& locals) {
  Verdict verdict = check_conditions(rule, facts);
  if (!verdict.holds || !rule.intent) co_return verdict;
  const auto intent = co_await locals.intent(rule.intent->model, facts.text);
  if (!intent) co_return Verdict{false, intent.error().message};
  Verdict said = check_intent(*rule.intent, *intent);
  if (said.holds && !verdict.why.empty()) said.why = verdict.why + ", " + said.why;
  co_return said;
}

// The chosen model first, then those of the route's own target, which answer when it fails.
std::vector<std::string> with_fallback(const std::string& first,
                                       const std::vector<std::string>& others) {
  std::vector<std::string> models{first};
  for (const std::string& other : others)
    if (other != first) models.push_back(other);
  return models;
}

}  // namespace

net::Async<Plan> RouteDecider::decide(const RouteConfig& route, const CallFacts& facts,
                                      std::vector<Step>* steps) const {
  const auto note = [&](std::string name, bool decided, std::string why) {
    if (steps != nullptr) steps->push_back({std::move(name), decided, std::move(why)});
  };
  for (const RuleConfig& rule : route.rules) {
    const std::string name = fmt::format("rule '{}'", rule.name);
    const Verdict verdict = co_await holds(rule, facts, locals_);
    note(name, verdict.holds, verdict.why);
    if (verdict.holds)
      co_return Plan{route.name, rule.to.models, rule.to.min_confidence,
                     fmt::format("{}: {}", name, verdict.why)};
  }
  if (route.learned) {
    const auto choice = co_await learned_(*route.learned, facts);
    note("learned router", choice.has_value(), choice ? choice->reason : choice.error().message);
    if (choice)
      co_return Plan{route.name,
                     with_fallback(choice->model, route.to.models),
                     {},
                     fmt::format("learned router: {}", choice->reason)};
  }
  const std::string why =
      route.to.min_confidence
          ? fmt::format("cascade: the next model is asked below confidence {}",
                        *route.to.min_confidence)
          : fmt::format("the route's own target ({})", fmt::join(route.to.models, ", then "));
  note("target", true, why);
  co_return Plan{route.name, route.to.models, route.to.min_confidence, why};
}

}  // namespace tack::gateway
