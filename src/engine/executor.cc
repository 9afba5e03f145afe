#include "engine/executor.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "kernels/gemm_f32.h"
#include "kernels/kernels.h"
#include "tensor/convert.h"

namespace tack {

using namespace graph;  // NOLINT: the executor speaks of nothing but plans

namespace {

// Row capacities are multiples of this, so that every buffer begins on a cache line.
constexpr std::int64_t kRowGranule = 16;

std::int64_t capacity(std::int64_t rows) {
  return round_up(std::max<std::int64_t>(rows, 1), kRowGranule);
}

AlignedBuffer rows_of(std::size_t row_bytes, std::int64_t rows) {
  return AlignedBuffer(row_bytes * static_cast<std::size_t>(rows));
}

}  // namespace

struct Executor::Tile {
  const Batch& batch;
  int party;
  std::int64_t begin, end;
  std::int64_t rows() const { return end - begin; }
};

Executor::Executor(const Plan& plan, int parties, const Limits& limits)
    : plan_(plan),
      parties_(parties),
      limits_(limits),
      token_rows_(capacity(limits.tokens)),
      sequence_rows_(capacity(limits.sequences)),
      tile_rows_(capacity(limits.tile_rows)),
      tokens_(rows_of(plan.token_bytes, token_rows_)),
      sequences_(rows_of(plan.sequence_bytes, sequence_rows_)) {
  for (int party = 0; party < parties; ++party) {
    tiles_.push_back(rows_of(plan.tile_row_bytes, tile_rows_));
    attention_.push_back(
        AlignedBuffer(plan.max_head_dim == 0
                          ? 0
                          : kernels::attention_scratch_floats(limits.longest, plan.max_head_dim) *
                                sizeof(float)));
  }
}

std::size_t Executor::memory_bytes() const {
  std::size_t bytes = tokens_.size() + sequences_.size();
  for (const auto& tile : tiles_) bytes += tile.size();
  for (const auto& scratch : attention_) bytes += scratch.size();
  return bytes;
}

std::byte* Executor::row(std::int32_t buffer, const Tile& tile, std::int64_t r) {
  const Buffer& b = plan_.buffers[static_cast<std::size_t>(buffer)];
  AlignedBuffer& memory = b.tile_local              ? tiles_[static_cast<std::size_t>(tile.party)]
                          : b.rows == Rows::kTokens ? tokens_
                                                    : sequences_;
  const std::int64_t rows = b.tile_local              ? tile_rows_
                            : b.rows == Rows::kTokens ? token_rows_
                                                      : sequence_rows_;
  if (b.tile_local) r -= tile.begin;
  return memory.data() + b.offset_per_row * static_cast<std::size_t>(rows) +
         b.row_bytes * static_cast<std::size_t>(r);
}

float* Executor::floats(const Operand& operand, const Tile& tile, std::int64_t r) {
  return reinterpret_cast<float*>(row(operand.buffer, tile, r)) + operand.column;
}

std::int64_t Executor::stride(const Operand& operand) const {
  return static_cast<std::int64_t>(
      plan_.buffers[static_cast<std::size_t>(operand.buffer)].row_bytes / sizeof(float));
}

std::span<const float> Executor::output(std::size_t o, std::int64_t r) const {
  const PlannedOutput& output = plan_.outputs[o];
  const Buffer& b = plan_.buffers[static_cast<std::size_t>(output.from.buffer)];
  const bool of_tokens = b.rows == Rows::kTokens;
  const std::byte* base =
      (of_tokens ? tokens_ : sequences_).data() +
      b.offset_per_row * static_cast<std::size_t>(of_tokens ? token_rows_ : sequence_rows_) +
      b.row_bytes * static_cast<std::size_t>(r);
  return {reinterpret_cast<const float*>(base) + output.from.column,
          static_cast<std::size_t>(output.cols)};
}

void Executor::run(int party, const Batch& batch, SpinBarrier& barrier) {
  for (const Stage& stage : plan_.stages) {
    const std::int64_t rows = stage.rows == Rows::kTokens ? batch.tokens() : batch.sequences();
    const std::int64_t first = rows * party / parties_, last = rows * (party + 1) / parties_;
    // Tiles of even size, so that the last one is not a sliver.
    const std::int64_t count = div_up(last - first, limits_.tile_rows);
    for (std::int64_t t = 0; t < count; ++t)
      run_tile(stage, {batch, party, first + (last - first) * t / count,
                       first + (last - first) * (t + 1) / count});
    if (parties_ > 1) barrier.arrive_and_wait();
  }
}

void Executor::run_tile(const Stage& stage, const Tile& tile) {
  for (const Step& step : stage.steps) std::visit([&](const auto& s) { apply(s, tile); }, step);
}

void Executor::apply(const EmbedStep& step, const Tile& tile) {
  const Batch& batch = tile.batch;
  auto sequence = std::upper_bound(batch.starts.begin(), batch.starts.end(), tile.begin) - 1;
  float scratch[256];
  for (std::int64_t r = tile.begin; r < tile.end; ++r) {
    while (r >= sequence[1]) ++sequence;
    float* out = floats(step.out, tile, r);
    const auto u = static_cast<std::size_t>(r);
    bool first = true;
    for (const auto& table : step.tables) {
      const std::int64_t index = table.index == Index::kTokenId    ? batch.ids[u]
                                 : table.index == Index::kPosition ? r - *sequence
                                 : batch.type_ids.empty()          ? 0
                                                                   : batch.type_ids[u];
      const auto bytes = table.view.row(index);
      const auto cols = static_cast<std::size_t>(step.cols);
      if (first) {
        (void)to_f32(table.view.dtype, bytes, {out, cols});
        first = false;
        continue;
      }
      // Chunks are whole blocks: every block size divides 256.
      const DTypeInfo& type = info(table.view.dtype);
      for (std::size_t c = 0; c < cols; c += std::size(scratch)) {
        const std::size_t n = std::min(std::size(scratch), cols - c);
        const std::size_t from = c / type.block_elements * type.block_bytes;
        const std::size_t size = n / type.block_elements * type.block_bytes;
        (void)to_f32(table.view.dtype, bytes.subspan(from, size), {scratch, n});
        for (std::size_t i = 0; i < n; ++i) out[c + i] += scratch[i];
      }
    }
  }
}

void Executor::apply(const QuantizeStep& step, const Tile& tile) {
  kernels::kernels().quantize_rows(
      floats(step.in, tile, tile.begin), stride(step.in), tile.rows(), step.cols,
      step.column_scale.empty() ? nullptr : step.column_scale.data(),
      row(step.out, tile, tile.begin), reinterpret_cast<float*>(row(step.scale, tile, tile.begin)));
}

void Executor::apply(const LinearStep& step, const Tile& tile) {
  const PackedLinear& w = plan_.linears[static_cast<std::size_t>(step.weights)];
  const float* residual =
      step.residual.buffer >= 0 ? floats(step.residual, tile, tile.begin) : nullptr;
  float* out = floats(step.out, tile, tile.begin);
  const std::int64_t ldc = stride(step.out);
  // The kernels read the residual with the stride of the result: they have the same columns.
  if (w.type == LinearType::kInt8) {
    kernels::kernels().int8_gemm(
        {.m = tile.rows(),
         .n = w.out,
         .k = w.in,
         .a = row(step.in.buffer, tile, tile.begin),
         .a_scale = reinterpret_cast<const float*>(row(step.in_scale, tile, tile.begin)),
         .b = w.weights.data(),
         .b_scale = w.scale.data(),
         .bias = w.bias.empty() ? nullptr : w.bias.data(),
         .activation = step.activation,
         .residual = residual,
         .c = out,
         .ldc = ldc});
    return;
  }
  kernels::Bf16GemmArgs args;
  args.m = tile.rows();
  args.n = w.out;
  args.k = w.in;
  args.a = floats(step.in, tile, tile.begin);
  args.lda = stride(step.in);
  args.bias = w.bias.empty() ? nullptr : w.bias.data();
  args.activation = step.activation;
  args.residual = residual;
  args.c = out;
  args.ldc = ldc;
  if (w.type == LinearType::kBf16) {
    args.b16 = w.weights.as<std::uint16_t>();
    kernels::gemm_bf16(args);
  } else {
    args.b = w.weights.as<float>();
    kernels::gemm_f32(args);
  }
}

void Executor::apply(const LayerNormStep& step, const Tile& tile) {
  kernels::kernels().layer_norm(floats(step.in, tile, tile.begin), stride(step.in), tile.rows(),
                                static_cast<std::int64_t>(step.gamma.size()), step.gamma.data(),
                                step.beta.data(), step.eps, floats(step.out, tile, tile.begin),
                                stride(step.out));
}

void Executor::apply(const ActivateStep& step, const Tile& tile) {
  for (std::int64_t r = tile.begin; r < tile.end; ++r)
    kernels::kernels().activate(step.function, floats(step.in, tile, r), floats(step.out, tile, r),
                                step.cols);
}

void Executor::apply(const AddStep& step, const Tile& tile) {
  for (std::int64_t r = tile.begin; r < tile.end; ++r) {
    const float* a = floats(step.a, tile, r);
    const float* b = floats(step.b, tile, r);
    float* out = floats(step.out, tile, r);
    for (std::int64_t c = 0; c < step.cols; ++c) out[c] = a[c] + b[c];
  }
}

void Executor::apply(const AttentionStep& step, const Tile& tile) {
  const Batch& batch = tile.batch;
  auto sequence = std::upper_bound(batch.starts.begin(), batch.starts.end(), tile.begin) - 1;
  for (; sequence + 1 != batch.starts.end() && *sequence < tile.end; ++sequence) {
    const std::int64_t start = sequence[0], end = sequence[1];
    if (start == end) continue;
    kernels::AttentionArgs args;
    args.length = end - start;
    args.q_begin = std::max(tile.begin, start) - start;
    args.q_end = std::min(tile.end, end) - start;
    args.heads = step.attributes.heads;
    args.kv_heads = step.attributes.kv_heads;
    args.head_dim = step.attributes.head_dim;
    args.q = floats(step.q, tile, start);
    args.k = floats(step.k, tile, start);
    args.v = floats(step.v, tile, start);
    args.q_stride = stride(step.q);
    args.k_stride = stride(step.k);
    args.v_stride = stride(step.v);
    // The result may live in the tile's own memory, which begins at the tile's first row: point at
    // where row 0 of the sequence would be.
    args.out_stride = stride(step.out);
    args.out = floats(step.out, tile, tile.begin) - (tile.begin - start) * args.out_stride;
    args.scale = step.attributes.scale;
    args.causal = step.attributes.causal;
    args.window = step.attributes.window;
    args.scratch = attention_[static_cast<std::size_t>(tile.party)].as<float>();
    kernels::kernels().attention(args);
  }
}

void Executor::apply(const PoolStep& step, const Tile& tile) {
  const auto& starts = tile.batch.starts;
  for (std::int64_t s = tile.begin; s < tile.end; ++s) {
    const auto u = static_cast<std::size_t>(s);
    float* out = floats(step.out, tile, s);
    if (starts[u] == starts[u + 1]) {  // an empty sequence pools to zeros
      std::fill_n(out, step.cols, 0.0F);
      continue;
    }
    const std::int64_t from = step.kind == PoolKind::kLast ? starts[u + 1] - 1 : starts[u];
    const std::int64_t to = step.kind == PoolKind::kMean ? starts[u + 1] : from + 1;
    std::memcpy(out, floats(step.in, tile, from),
                static_cast<std::size_t>(step.cols) * sizeof(float));
    for (std::int64_t t = from + 1; t < to; ++t) {
      const float* x = floats(step.in, tile, t);
      for (std::int64_t c = 0; c < step.cols; ++c) out[c] += x[c];
    }
    const float share = 1.0F / static_cast<float>(to - from);
    for (std::int64_t c = 0; c < step.cols; ++c) out[c] *= share;
  }
}

void Executor::apply(const L2NormalizeStep& step, const Tile& tile) {
  for (std::int64_t r = tile.begin; r < tile.end; ++r)
    kernels::kernels().l2_normalize(floats(step.in, tile, r), 1, step.cols, step.eps,
                                    floats(step.out, tile, r));
}

}  // namespace tack
