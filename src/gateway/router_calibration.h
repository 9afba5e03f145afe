// How a router is to choose: the cheapest policy that rows it was not trained on prove to be good
// enough.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "gateway/learned_router.h"
#include "gateway/router_data.h"

namespace tack::gateway {

// What the policy is to reach. Of both, the share.
struct RouterTarget {
  // Of the strong model's mean score, how much is to be kept, at the least; in (0, 1].
  double quality = 0.95;
  double confidence = 0.95;
  std::optional<double> strong_share;  // of calls, in [0, 1]
};

// Rows with what the router foretells of them.
struct ForetoldRows {
  const RouterData* data = nullptr;
  std::span<const float> quality;  // [rows, models]
};

struct RouterCalibration {
  RouterCard card;  // with a policy, and points of these rows
  // Whether the rows prove that the policy keeps the target's quality. If not, it is always strong.
  bool proven = false;
  double kept_bound = 0;  // the share of the strong model's quality that they prove is kept
};

// Fewest rows that anything is proven on.
inline constexpr std::size_t kMinCalibrationRows = 30;

// `card` has the policies to choose from in its points, from dear to cheap, found without these
// rows; what the points say otherwise is measured anew, strong shares and costs on the `more`
// predictions too ([rows, models], out of fold). `seed` orders the rows for the proof.
//
// Policies are tried in the order of the points, and the first whose quality is not proven ends the
// search: so the chance that a policy is taken which does not keep the quality is that of one test,
// 1 - confidence (fixed-sequence testing; Angelopoulos et al. 2021, arXiv:2110.01052, section 4).
// Errors: kUsage for too few rows, or a target that cannot be.
Result<RouterCalibration> calibrate_router(RouterCard card, const ForetoldRows& rows,
                                           std::span<const float> more, const RouterTarget& target,
                                           std::uint64_t seed);

// What calibrating would have led to, over and over: the rows are halved at random, one half
// calibrates the card for the target, the other shows what came of it.
struct ResplitResult {
  bool proven = false;
  double kept = 0;          // share of the strong model's quality on the other half
  double strong_share = 0;  // of calls, likewise
};
Result<std::vector<ResplitResult>> resplit(const RouterCard& card, const ForetoldRows& rows,
                                           const RouterTarget& target, int times,
                                           std::uint64_t seed);

}  // namespace tack::gateway
