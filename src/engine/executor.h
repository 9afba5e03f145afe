// Runs a plan on packed batches.
//
// An Executor is a group of workers ("parties") that run one batch together: in every stage each
// worker takes its share of the rows, tile by tile, and they meet at a barrier between stages. With
// one party there is no barrier: the engine then gives each worker its own Executor and its own
// batches, which is how many short texts run fastest; one long text runs fastest shared.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/thread_pool.h"
#include "graph/batch.h"
#include "graph/plan.h"

namespace tack {

class Executor {
 public:
  struct Limits {
    std::int64_t tokens = 512;    // of a batch
    std::int64_t sequences = 64;  // of a batch
    std::int64_t longest = 512;   // tokens of one sequence
    std::int64_t tile_rows = 24;  // rows a worker takes through a stage at once
  };

  // `plan` outlives the executor. Allocates all memory here.
  Executor(const graph::Plan& plan, int parties, const Limits& limits);

  // Called by every party with the same batch (0 <= party < parties); `barrier` has that many
  // parties. The batch keeps the limits, and its ids lie inside the tables (the caller checks).
  void run(int party, const graph::Batch& batch, SpinBarrier& barrier);

  // Row `row` of output `o` of the last run; valid until the next.
  std::span<const float> output(std::size_t o, std::int64_t row) const;

  const Limits& limits() const { return limits_; }
  std::size_t memory_bytes() const;

 private:
  struct Tile;  // the rows [begin, end) one worker is at

  void run_tile(const graph::Stage& stage, const Tile& tile);
  void apply(const graph::EmbedStep& step, const Tile& tile);
  void apply(const graph::QuantizeStep& step, const Tile& tile);
  void apply(const graph::LinearStep& step, const Tile& tile);
  void apply(const graph::LayerNormStep& step, const Tile& tile);
  void apply(const graph::ActivateStep& step, const Tile& tile);
  void apply(const graph::AddStep& step, const Tile& tile);
  void apply(const graph::AttentionStep& step, const Tile& tile);
  void apply(const graph::PoolStep& step, const Tile& tile);
  void apply(const graph::L2NormalizeStep& step, const Tile& tile);

  // Address of a buffer's row: of the batch, or of the tile's own memory.
  std::byte* row(std::int32_t buffer, const Tile& tile, std::int64_t r);
  float* floats(const graph::Operand& operand, const Tile& tile, std::int64_t r);
  std::int64_t stride(const graph::Operand& operand) const;  // floats between rows

  const graph::Plan& plan_;
  const int parties_;
  Limits limits_;
  std::int64_t token_rows_, sequence_rows_, tile_rows_;  // capacities, multiples of 16
  AlignedBuffer tokens_, sequences_;
  std::vector<AlignedBuffer> tiles_;      // one a party
  std::vector<AlignedBuffer> attention_;  // scratch, one a party
};

}  // namespace tack
