// Made-up logs of two or three models with a rule in them: for tests alone.
#pragma once

#include <string>

#include "base/random.h"
#include "gateway/router_data.h"

namespace tack::gateway {

// Prompts of which a third asks to prove something: there "large" is right in 90 of 100, "small" in
// 20. Of the others both are right in 90. With `middle`, a third model that is right in 60 and 90.
inline RouterData made_up_logs(int rows, std::uint64_t seed, bool middle = false) {
  constexpr const char* kThings[] = {"the lemma", "this limit",  "the bound", "a parcel",
                                     "my order",  "the invoice", "a refund",  "the meeting"};
  Random random(seed);
  RouterData data;
  data.models = {"small", "large"};
  if (middle) data.models.push_back("middle");
  for (int i = 0; i < rows; ++i) {
    const bool hard = random.below(3) == 0;
    data.texts.push_back(std::string(hard ? "Prove by induction that " : "Where can I find ") +
                         kThings[random.below(8)] + (hard ? " holds for n = " : " number ") +
                         std::to_string(random.below(100'000)) + (hard ? "" : "?"));
    const auto right = [&](double chance) { return random.uniform() < chance ? 1.0F : 0.0F; };
    data.scores.push_back(right(hard ? 0.2 : 0.9));
    data.scores.push_back(right(0.9));
    if (middle) data.scores.push_back(right(hard ? 0.6 : 0.9));
  }
  data.sha256 = "made up";
  return data;
}

}  // namespace tack::gateway
