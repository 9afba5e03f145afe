// From what a router foretells to the model that is asked.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "gateway/router_card.h"

namespace tack::gateway {

// The model whose quality - rate * cost is largest; of several the cheapest. quality [models].
// `allowed` [models]: which may be asked; empty: all. The strong one where it may not be asked but
// none other either.
std::size_t choose_model(const RouterCard& card, std::span<const float> quality,
                         const RoutingPolicy& policy, const std::vector<bool>& allowed = {});

// The same with why: "mixtral: 0.71 against 0.83 of gpt-4; a gain of 0.120 is not above 0.180".
struct RouterChoice {
  std::size_t model = 0;
  std::string reason;
};
RouterChoice choose(const RouterCard& card, std::span<const float> quality,
                    const RoutingPolicy& policy, const std::vector<bool>& allowed = {});

// The policy whose share of strong calls was this one, by interpolation between the card's points.
// Of more than two models: or the nearest that there is, below 1. kUsage outside [0, 1].
Result<RoutingPolicy> policy_for_share(const RouterCard& card, double share);

// Policies worth a look, from dear to cheap: always strong, then rates at which the choice for some
// rows changes, `count` of them at most. Of two models rates may be negative (the strong one is
// asked though it is thought to be no better); of more they begin at 0. quality [rows, models].
std::vector<RoutingPolicy> policies_between(const RouterCard& card, std::span<const float> quality,
                                            int count);

}  // namespace tack::gateway
