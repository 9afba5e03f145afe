#include "gateway/router_policy.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

namespace tack::gateway {

std::size_t choose_model(const RouterCard& card, std::span<const float> quality,
                         const RoutingPolicy& policy, const std::vector<bool>& allowed) {
  const auto may = [&](std::size_t model) { return allowed.empty() || allowed[model]; };
  if (policy.always_strong && may(card.strong)) return card.strong;
  std::size_t best = card.strong;
  double most = -std::numeric_limits<double>::infinity();
  for (std::size_t m = 0; m < card.models.size(); ++m) {
    if (!may(m)) continue;
    const double worth = static_cast<double>(quality[m]) - policy.rate * card.models[m].cost;
    // Of equal worth: the cheaper one.
    if (worth > most || (worth == most && card.models[m].cost < card.models[best].cost)) {
      most = worth;
      best = m;
    }
  }
  return best;
}

RouterChoice choose(const RouterCard& card, std::span<const float> quality,
                    const RoutingPolicy& policy, const std::vector<bool>& allowed) {
  const std::size_t model = choose_model(card, quality, policy, allowed);
  const auto name = [&](std::size_t m) -> const std::string& { return card.models[m].name; };
  if (policy.always_strong)
    return {model, fmt::format("{}: always, whatever the prompt", name(model))};
  if (card.models.size() == 2) {
    const std::size_t weak = card.cheapest(), strong = 1 - weak;
    const auto gain = static_cast<double>(quality[strong]) - static_cast<double>(quality[weak]);
    const double needed = policy.rate * (card.models[strong].cost - card.models[weak].cost);
    return {model, fmt::format("{}: {:.2f} against {:.2f} of {}; a gain of {:.3f} is {} {:.3f}",
                               name(model), quality[model], quality[1 - model], name(1 - model),
                               gain, model == strong ? "above" : "not above", needed)};
  }
  const auto best = static_cast<std::size_t>(std::ranges::max_element(quality) - quality.begin());
  if (best == model)
    return {model, fmt::format("{}: {:.2f}, the best of {} models", name(model), quality[model],
                               card.models.size())};
  return {model,
          fmt::format("{}: {:.2f} at {:.2f} of the dearest model's cost; {:.2f} of {} at {:.2f} is "
                      "not worth it",
                      name(model), quality[model], card.models[model].cost, quality[best],
                      name(best), card.models[best].cost)};
}

Result<RoutingPolicy> policy_for_share(const RouterCard& card, double share) {
  if (!(share >= 0 && share <= 1))
    return fail(ErrorCode::kUsage, "a share of strong calls lies in [0, 1], not {}", share);
  const std::vector<PolicyPoint>& points = card.points;
  if (share >= 1) return RoutingPolicy{points.front().policy.rate, true};
  for (std::size_t i = 0; i < points.size(); ++i) {
    const PolicyPoint& point = points[i];
    if (point.policy.always_strong) continue;
    if (point.strong_share > share) continue;
    if (i == 0 || points[i - 1].policy.always_strong) return point.policy;
    const PolicyPoint& before = points[i - 1];
    const double step = before.strong_share - point.strong_share;
    const double part = step > 0 ? (before.strong_share - share) / step : 1;
    return RoutingPolicy{before.policy.rate + part * (point.policy.rate - before.policy.rate)};
  }
  return points.back().policy;
}

std::vector<RoutingPolicy> policies_between(const RouterCard& card, std::span<const float> quality,
                                            int count) {
  const std::size_t models = card.models.size();
  const double least = models == 2 ? -std::numeric_limits<double>::infinity() : 0;
  // Where two models are worth the same. Of more than two, some of these change no choice:
  // harmless.
  std::vector<double> rates;
  for (std::size_t row = 0; row < quality.size(); row += models)
    for (std::size_t dear = 0; dear < models; ++dear)
      for (std::size_t cheap = 0; cheap < models; ++cheap) {
        const double cost = card.models[dear].cost - card.models[cheap].cost;
        if (cost < 1e-6) continue;
        const double gain =
            static_cast<double>(quality[row + dear]) - static_cast<double>(quality[row + cheap]);
        if (gain / cost > least) rates.push_back(gain / cost);
      }
  std::ranges::sort(rates);
  std::vector<RoutingPolicy> policies = {{0, true}};
  if (models > 2) policies.push_back({0});
  for (int i = 0; i < count && !rates.empty(); ++i) {
    const auto at = (rates.size() - 1) * static_cast<std::size_t>(i) /
                    static_cast<std::size_t>(std::max(1, count - 1));
    if (policies.back().always_strong || rates[at] > policies.back().rate)
      policies.push_back({rates[at]});
  }
  // Past the last one every row goes to the cheapest.
  if (!rates.empty()) policies.push_back({rates.back() + 1e-3});
  policies.front().rate = policies.size() > 1 ? policies[1].rate : 0;
  return policies;
}

}  // namespace tack::gateway
