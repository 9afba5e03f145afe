// The reference executor: every operator of a graph, one after another, as its definition reads,
// with sums in f64. Slow on purpose: it is what plans (fused, quantised, tiled) are tested against.
#pragma once

#include <vector>

#include "base/result.h"
#include "graph/batch.h"
#include "graph/graph.h"
#include "graph/weights.h"

namespace tack::graph {

// All values of the graph, [rows, cols] each, by value index. Errors: a tensor that cannot be read.
Result<std::vector<std::vector<float>>> run_reference(const Graph& graph,
                                                      const WeightSource& source,
                                                      const Batch& batch);

}  // namespace tack::graph
