// What a tape does in which order, and where its values and gradients live: computed once from a
// graph, without running anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "graph/graph.h"

namespace tack {

struct TapeStep {
  // The backward also has forward steps: what was not kept is computed again.
  enum class Kind : std::uint8_t { kForward, kBackward };
  Kind kind = Kind::kForward;
  std::size_t node = 0;
  // Of a linear layer forward: its input is the one that the last linear layer brought into order.
  bool shares_input = false;
};

struct TapePlan {
  struct Value {
    std::size_t producer = 0;            // node
    std::vector<std::size_t> consumers;  // nodes, ascending
    bool is_output = false;
    bool has_gradient = false;  // a trainable parameter lies upstream
    std::int32_t alias = -1;    // the gradient is that of this value
    // In columns of the arena of its rows.
    std::int64_t value_offset = 0, gradient_offset = 0;
  };
  std::vector<Value> values;  // by value index
  // Of each node, the input that dropout falls on when it is a sum: what a linear layer adds to the
  // residual stream. -1: none.
  std::vector<graph::ValueId> dropped;
  std::vector<TapeStep> forward, backward;
  std::int64_t token_columns = 0, sequence_columns = 0;  // of the arenas

  const Value& value(graph::ValueId v) const { return values[static_cast<std::size_t>(v.index)]; }
};

// The weights that an operator reads; a linear layer's bias only when it has one.
std::vector<graph::WeightId> weights_of(const graph::Op& op);

// `trains` by weight. With `recompute` the forward keeps only what one layer passes to the next,
// and the backward computes the rest of a layer again before it needs it: the same bits from less
// memory.
TapePlan plan_tape(const graph::Graph& graph, std::span<const graph::ValueId> outputs,
                   const std::vector<bool>& trains, bool recompute);

}  // namespace tack
