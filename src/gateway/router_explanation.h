// Why a learned router sends a prompt where it does: what would change if the prompt were
// different. Each statement is a prediction of the router itself for a changed prompt, not an
// approximation of it.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/learned_router.h"
#include "gateway/router_policy.h"

namespace tack::gateway {

// By how much the gain of the strong model over the cheapest is larger than it would be without
// this: above 0 speaks for the strong model.
struct Influence {
  std::string what;  // "largest number", "'prove'"
  double change = 0;
};

struct RouteExplanation {
  std::vector<float> quality;  // [models]
  RoutingPolicy policy;
  RouterChoice choice;
  double gain = 0;  // foretold quality of the strong model, minus that of the cheapest
  // Of each form, if it were as in most training prompts; strongest first, those that change
  // nothing left out.
  std::vector<Influence> forms;
  // Of the components together: of what the prompt is about.
  double topic = 0;
  // Of the prompt's words, if it did not have them; strongest first.
  std::vector<Influence> words;
};

// Makes the embedding of a text; empty for a router that needs none.
using RouterEmbed = std::function<Result<std::vector<float>>(std::string_view)>;

// `most_words`: how many different words are left out in turn, from the first on; with an encoder
// each is a run of it.
Result<RouteExplanation> explain_route(const LearnedRouter& router, std::string_view text,
                                       const RoutingPolicy& policy, const RouterEmbed& embed,
                                       std::size_t most_words = 64);

// Several lines, each ended.
std::string explanation_text(const RouterCard& card, const RouteExplanation& explanation);
Json to_json(const RouterCard& card, const RouteExplanation& explanation);

}  // namespace tack::gateway
