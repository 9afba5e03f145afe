// What a person reads after `tack route train` and `tack route eval`.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "gateway/router_calibration.h"
#include "gateway/router_evaluation.h"

namespace tack::gateway {

// How long a decision took, p50 and p99 in microseconds; zeros: not measured.
struct DecisionTimes {
  double p50_us = 0, p99_us = 0;                  // of the router alone
  double encoder_p50_us = 0, encoder_p99_us = 0;  // with the embedding; zeros without an encoder
};

// What a router is: models, policy, proof, data. Several lines, each ended.
std::string router_card_text(const RouterCard& card);

// Several lines, each ended.
std::string router_evaluation_text(const RouterCard& card, const RouterEvaluation& evaluation,
                                   const DecisionTimes& times);
Json router_evaluation_json(const RouterCard& card, const RouterEvaluation& evaluation,
                            const DecisionTimes& times);
// What came of calibrating over and over, as text or JSON.
std::string resplits_text(std::span<const ResplitResult> results, const RouterTarget& target,
                          bool as_json);
// One page with the curve as inline SVG. `facts` are rows of a table at the top.
std::string router_evaluation_html(const std::vector<std::pair<std::string, std::string>>& facts,
                                   const RouterCard& card, const RouterEvaluation& evaluation,
                                   const DecisionTimes& times);

}  // namespace tack::gateway
