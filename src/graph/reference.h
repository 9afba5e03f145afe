// The reference executor: every operator of a graph, one after another, as its definition reads,
// in f64. Slow on purpose: it is what plans (fused, quantised, tiled) and gradients (by finite
// differences) are tested against.
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

// The same from weights in f64, by weight index, without rounding in between.
std::vector<std::vector<double>> run_reference_f64(const Graph& graph,
                                                   const std::vector<std::vector<double>>& weights,
                                                   const Batch& batch);

}  // namespace tack::graph
