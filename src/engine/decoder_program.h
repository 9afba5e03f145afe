// What a decoder does in a call, in order: made once from its graph.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "graph/graph.h"

namespace tack {

struct Action {
  enum class Kind : std::uint8_t {
    kNode,
    kQuantize,  // `value`, for the linear layers that follow
    kStore,     // keys and values of attention `node` into the cache
  };
  Kind kind = Kind::kNode;
  const graph::Node* node = nullptr;
  graph::ValueId value;
  std::size_t index = 0;     // attention: its layer in the cache; Rope: its table of angles
  bool quantized = false;    // a linear layer that reads quantised activations
  bool meet_before = false;  // workers wait for each other first
};

struct DecoderProgram {
  std::vector<Action> actions;        // without the logits
  std::vector<std::int64_t> offsets;  // of values in the arena, floats per row; -1: no memory
  std::int64_t columns = 0;           // of the arena
  // Nodes whose angles differ; the first of each kind.
  std::vector<const graph::Rope*> ropes;
};

// `in_blocks`: whether a linear layer takes quantised activations. `graph` outlives the program.
DecoderProgram make_program(const graph::Graph& graph, graph::ValueId logits,
                            const std::function<bool(const graph::Linear&)>& in_blocks);

}  // namespace tack
