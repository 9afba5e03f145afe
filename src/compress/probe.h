// A model that is run to be looked into: chunks of tokens go in, what its linear layers read can be
// watched, an output's rows come out, and weights can be replaced. A decoder runs in the engine
// with exact weights, an encoder as a graph for training (graph_probe.h), both in f32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/decoder.h"
#include "models/model.h"

namespace tack {

// A value that linear layers read, and the weights of those that do.
struct SharedInput {
  graph::ValueId value;
  std::int64_t cols = 0;
  std::vector<std::string_view> weights;  // names in the graph
};
// All of them, in the graph's order.
std::vector<SharedInput> shared_inputs(const graph::Graph& graph);

struct ProbeOptions {
  int threads = 0;  // 0: all usable cores; no bit depends on it
  // Of the graph; of a decoder "logits" alone. Empty: none is wanted, nor computed.
  std::string_view output;
  bool exact = true;  // of a decoder; else it computes as it would for a user
  std::function<void(const LinearInputs&)> observe;
  std::function<const TensorView*(std::string_view weight)> replace;
};

// Rows of the output that come of the next `chunks`: one for a token, or of a pooled output for a
// chunk. Valid until it returns.
using ProbeVisit = std::function<Status(std::size_t chunks, std::span<const float> rows)>;

// Runs the chunks, some at a time. Errors: chunks longer than the model takes (kUsage); those of
// `visit`, which may end it.
Status run_probe(const std::shared_ptr<const Model>& model, const ProbeOptions& options,
                 std::span<const std::vector<TokenId>> chunks, const ProbeVisit& visit);

}  // namespace tack
