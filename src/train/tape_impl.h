// The inside of a tape: what forward and backward share. Only for tape*.cc.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/random.h"
#include "train/tape.h"
#include "train/tape_plan.h"
#include "train/worker_product.h"

namespace tack {

inline std::size_t at(std::int32_t i) {
  return static_cast<std::size_t>(i);
}
inline std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

// The dropout of one node: masks are a function of seed, node and row.
class DropMask {
 public:
  DropMask(float rate, std::uint64_t seed, std::uint64_t node)
      : keep_(1.0F - rate), seed_(seed * 0x9e3779b97f4a7c15ULL + node * 0xd1342543de82ef95ULL) {}

  // y = x * mask / (1 - rate) over one row, plus `add` when it is not null.
  void apply(std::int64_t row, std::int64_t cols, const float* x, const float* add,
             float* y) const {
    const auto seed = static_cast<std::uint32_t>(
        Random(seed_ + static_cast<std::uint64_t>(row) * 0xa0761d6478bd642fULL).next());
    kernels::kernels().backward.dropout(cols, x, add, y, seed, keep_, 1.0F / keep_);
  }

 private:
  float keep_;
  std::uint64_t seed_;
};

class Tape::Impl {
 public:
  Impl(const graph::Graph& graph, std::vector<Parameter> parameters, const TapeOptions& options,
       ThreadPool& pool);

  // Checks the weights, plans and takes the memory. Before anything else.
  Status prepare(std::span<const graph::ValueId> outputs);
  void forward(const graph::Batch& batch, float dropout, std::uint64_t seed);
  void backward();

  std::int64_t rows(graph::ValueId v) const {
    return graph_.value(v).rows == graph::Rows::kTokens ? batch_.tokens() : batch_.sequences();
  }
  std::int64_t cols(graph::ValueId v) const { return graph_.value(v).cols; }
  float* value(graph::ValueId v) { return place_of(v, plan_.value(v).value_offset); }
  float* gradient(graph::ValueId v) { return place_of(v, plan_.value(v).gradient_offset); }
  std::size_t bytes() const;

 private:
  using Node = graph::Node;
  using ValueId = graph::ValueId;
  using WeightId = graph::WeightId;

  const TapePlan::Value& info(ValueId v) const { return plan_.value(v); }
  float* place_of(ValueId v, std::int64_t offset);
  const Parameter& parameter(WeightId id) const { return parameters_[at(id.index)]; }
  bool trains(WeightId id) const { return id.index >= 0 && parameter(id).gradient != nullptr; }

  void take_scratch();
  void run_steps(std::span<const TapeStep> steps);
  void cut_sequences();

  // This worker's share of a value.
  Range rows_of(ValueId v, int worker) const { return part_of(rows(v), worker, pool_.size()); }
  Range columns_of(ValueId v, int worker) const {
    return part_of(cols(v), worker, pool_.size(), 16);
  }
  // Calls body(sequence, head) for this worker's share of sequences x heads.
  template <class Body>
  void for_heads(int worker, std::int64_t heads, const Body& body) const;
  // Calls body(token, position in its sequence).
  template <class Body>
  void for_tokens(Range range, const Body& body) const;
  std::int64_t row_of_table(const graph::Embedding& op, std::int64_t token,
                            std::int64_t position) const;
  // out (+)= x turned by `direction` times its angle.
  void rotate(const graph::Rope& op, const float* x, float* out, Range range, float direction,
              bool accumulate) const;
  // All workers together: pack() brings A into order in `packed`, product() may begin after a
  // barrier.
  bool packs(const kernels::ProductArgs& args) const { return tack::packs(product_, args); }
  void pack(const kernels::ProductArgs& args, AlignedBuffer& packed, int worker) const;
  void product(const kernels::ProductArgs& args, const AlignedBuffer& packed, int worker);

  // One operator forward, this worker's share; n is the node's number. tape_forward.cc
  void run(const Node& node, std::size_t n, const graph::Embedding& op, int worker);
  void run(const Node& node, std::size_t n, const graph::Add& op, int worker);
  void run(const Node& node, std::size_t n, const graph::LayerNorm& op, int worker);
  void run(const Node& node, std::size_t n, const graph::RmsNorm& op, int worker);
  void run(const Node& node, std::size_t n, const graph::Scale& op, int worker);
  void run(const Node& node, std::size_t n, const graph::Linear& op, int worker, bool shares_input);
  void run(const Node& node, std::size_t n, const graph::Activate& op, int worker);
  void run(const Node& node, std::size_t n, const graph::Multiply& op, int worker);
  void run(const Node& node, std::size_t n, const graph::Rope& op, int worker);
  void run(const Node& node, std::size_t n, const graph::Attention& op, int worker);
  void run(const Node& node, std::size_t n, const graph::Pool& op, int worker);
  void run(const Node& node, std::size_t n, const graph::L2Normalize& op, int worker);

  // Its gradients, of inputs and weights. tape_backward.cc
  void derive(const Node& node, std::size_t n, const graph::Embedding& op, int worker);
  void derive(const Node& node, std::size_t n, const graph::Add& op, int worker);
  void derive(const Node& node, std::size_t n, const graph::LayerNorm& op, int worker);
  void derive(const Node& node, std::size_t n, const graph::RmsNorm& op, int worker);
  void derive(const Node& node, std::size_t n, const graph::Scale& op, int worker);
  void derive(const Node& node, std::size_t n, const graph::Linear& op, int worker);
  void derive(const Node& node, std::size_t n, const graph::Activate& op, int worker);
  void derive(const Node& node, std::size_t n, const graph::Multiply& op, int worker);
  void derive(const Node& node, std::size_t n, const graph::Rope& op, int worker);
  void derive(const Node& node, std::size_t n, const graph::Attention& op, int worker);
  void derive(const Node& node, std::size_t n, const graph::Pool& op, int worker);
  void derive(const Node& node, std::size_t n, const graph::L2Normalize& op, int worker);
  void derive_norm(const Node& node, std::size_t n, kernels::Norm norm, WeightId gamma,
                   WeightId beta, float eps, std::int64_t groups, int worker);
  // Whether node n adds to the gradient of its input v: not when it is the first to write it.
  bool accumulates(std::size_t n, ValueId v) const {
    return info(v).is_output || info(v).consumers.back() != n;
  }

  const graph::Graph& graph_;
  std::vector<Parameter> parameters_;
  const TapeOptions options_;
  ThreadPool& pool_;
  kernels::Product product_;
  std::vector<ValueId> outputs_;
  TapePlan plan_;
  AlignedBuffer token_arena_, sequence_arena_;
  std::vector<AlignedBuffer> scratch_;  // per worker
  // The left operands of a product in its order, of all workers: x or dy, and dy transposed.
  AlignedBuffer packed_, packed_transposed_;
  std::vector<float> statistics_;   // [rows * groups, 2] of the norm being derived
  std::vector<std::int64_t> cost_;  // [sequences + 1] of attention, summed up
  graph::Batch batch_;
  float dropout_ = 0;
  std::uint64_t seed_ = 0;
};

template <class Body>
void Tape::Impl::for_heads(int worker, std::int64_t heads, const Body& body) const {
  const std::int64_t all = cost_.back() * heads;
  const std::int64_t from = all * worker / pool_.size(), to = all * (worker + 1) / pool_.size();
  for (std::int64_t s = 0; s < batch_.sequences(); ++s) {
    const std::int64_t each = cost_[at(s) + 1] - cost_[at(s)];
    for (std::int64_t h = 0; h < heads; ++h) {
      const std::int64_t begin = cost_[at(s)] * heads + h * each;
      if (begin >= from && begin < to) body(s, h);
    }
  }
}

template <class Body>
void Tape::Impl::for_tokens(Range range, const Body& body) const {
  std::int64_t s = std::ranges::upper_bound(batch_.starts, range.begin) - batch_.starts.begin() - 1;
  for (std::int64_t t = range.begin; t < range.end; ++t) {
    while (t >= batch_.starts[at(s) + 1]) ++s;
    body(t, t - batch_.starts[at(s)]);
  }
}

}  // namespace tack
