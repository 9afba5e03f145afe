// Low-rank adapters (Hu et al. 2021, arXiv:2106.09685) as a change of the graph: a linear layer
// y = x W^T + b becomes y + (x A^T) B^T with A [rank, in] and B [out, rank], so training needs
// nothing of its own. The usual factor alpha / rank is 1: rates are chosen instead.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"

namespace tack {

struct AdaptedGraph {
  graph::Graph graph;
  std::vector<graph::ValueId> values;  // of the old graph, in the new one
};

// Adapts the linear layers whose weight `wanted` names. Weights keep their numbers; those of the
// adapters follow, as "WEIGHT.lora_a" and "WEIGHT.lora_b".
AdaptedGraph add_lora(const graph::Graph& graph, std::int64_t rank,
                      const std::function<bool(std::string_view weight)>& wanted);

}  // namespace tack
