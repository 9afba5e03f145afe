// A graph run for training: forward on a packed batch with what the backward needs kept, then the
// gradients of the parameters.
//
// The graph is the one that inference plans. Every operator is split among the workers so that a
// sum is always added in the same order: results have the same bits for any number of threads.
// Memory is planned once, as columns per row: a value lives until its last reader, forward or
// backward, a gradient from its first writer to its producer.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "graph/batch.h"
#include "graph/graph.h"
#include "kernels/kernels.h"

namespace tack {

// The memory of one weight of the graph. An embedding table may have any number of rows: those that
// the ids of the batches name.
struct Parameter {
  const float* value = nullptr;
  float* gradient = nullptr;  // added to by backward(); null: the weight is frozen
  std::int64_t size = 0;
};

struct TapeOptions {
  std::int64_t max_tokens = 0, max_sequences = 0;  // of a batch
  std::int64_t max_length = 0;                     // of a sequence
  bool bf16 = true;  // matrix products of linear layers in bf16 where the processor has it
  // Keeps only what one layer passes to the next and computes the rest again in backward(): about a
  // third more time, the same bits.
  bool recompute = false;
};

class Tape {
 public:
  // `outputs` are values that stay readable after forward(); gradients may be given for them.
  // `parameters` by weight index. The graph and the pool must outlive the tape.
  // Errors: kUsage for an operator without parameters where it needs them.
  static Result<std::unique_ptr<Tape>> create(const graph::Graph& graph,
                                              std::span<const graph::ValueId> outputs,
                                              std::vector<Parameter> parameters,
                                              const TapeOptions& options, ThreadPool& pool);
  ~Tape();

  // The rows of a batch must fit the options. `dropout` > 0 drops that share of what linear layers
  // add to the residual stream and of the pooled vector; masks are a function of `seed`.
  void forward(const graph::Batch& batch, float dropout = 0, std::uint64_t seed = 0);

  // [rows, cols], of the last forward(); only of `outputs`.
  std::span<const float> value(graph::ValueId output) const;
  // Where the loss writes its gradient before backward(); zero after forward().
  std::span<float> gradient(graph::ValueId output);

  // Adds the gradients of the loss to those of the parameters.
  void backward();

  // Bytes of values, gradients and scratch.
  std::size_t bytes() const;

 private:
  class Impl;
  explicit Tape(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tack
