// What a learned router says of itself: its models and their prices, how it chooses, and what that
// came to when it was measured. The JSON under "tack.router" in its file.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "store/ledger.h"

namespace tack::gateway {

inline constexpr std::size_t kMaxRoutedModels = 64;

struct RoutedModel {
  std::string name;
  store::Price price;
  // Of a call, relative to the dearest model's: in [0, 1].
  double cost = 0;
  double quality = 0;  // mean on the calibration rows
};

// How to choose: the model with the largest quality - rate * cost. The rate is the quality that a
// unit of cost must buy; of two models one of 0 and one of 1, the gain from which the strong one
// is asked.
struct RoutingPolicy {
  double rate = 0;
  bool always_strong = false;
};

// What a policy came to on held-back rows.
struct PolicyPoint {
  RoutingPolicy policy;
  double strong_share = 0;  // of calls; on out-of-fold training rows and calibration rows together
  double cost = 0;          // mean, relative to the dearest model's; likewise
  double quality = 0;       // mean, on the calibration rows alone
};

// What an embedding must come from.
struct RouterEncoder {
  std::string name;  // Model::name() when the router was trained
  std::int64_t dims = 0;
  std::vector<float> probe;  // the first numbers of what it makes of kEncoderProbe
};
// A text by whose embedding an encoder is known again, whatever its file is called.
inline constexpr std::string_view kEncoderProbe =
    "Prove that the sum of two odd numbers is even; then write it down in one sentence.";
inline constexpr std::size_t kProbeNumbers = 16;

struct RouterCard {
  std::vector<RoutedModel> models;
  std::size_t strong = 0;                // which of them quality and shares are told against
  std::optional<RouterEncoder> encoder;  // unset: n-grams
  RoutingPolicy policy;                  // its own
  std::vector<PolicyPoint> points;       // from always strong to the cheapest; never empty
  // For people: what was asked for ("target"), measured, and where the data came from.
  Json target, measured, lineage;

  // The model with the least cost; of several the best.
  std::size_t cheapest() const;
};

// The versions stand in the JSON, and an error says so when they are not ours.
Json to_json(const RouterCard& card);
// Everything is checked: names, ranges, that the policy's points descend. The error is one line
// that names the key.
Result<RouterCard> router_card_from(const Json& json);

}  // namespace tack::gateway
