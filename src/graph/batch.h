// A packed batch: the tokens of all sequences one after another, no padding anywhere.
#pragma once

#include <cstdint>
#include <span>

namespace tack::graph {

struct Batch {
  std::span<const std::int32_t> ids;       // [tokens]
  std::span<const std::int32_t> type_ids;  // [tokens], or empty: all 0
  std::span<const std::int64_t> starts;  // [sequences + 1]: sequence s is [starts[s], starts[s+1])

  std::int64_t tokens() const { return static_cast<std::int64_t>(ids.size()); }
  std::int64_t sequences() const { return static_cast<std::int64_t>(starts.size()) - 1; }
};

}  // namespace tack::graph
