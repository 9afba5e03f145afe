// Attention of new tokens over the keys and values that a sequence keeps, one key/value head with
// the query heads that share it.
//
// Keys and values lie in tiles of 64 positions, position p in tile p / 64. Of keys, sixteen
// positions lie side by side for every dimension, so that scores need no transposing; values lie
// row by row. A cache with a window keeps the last tiles in a ring.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tack::kernels {

enum class KvType : std::uint8_t { kF32, kF16, kQ8_0 };

inline constexpr std::int64_t kKvTile = 64;
// A span of positions is attended to by itself, and spans are put together in their order: whoever
// takes which span, the bits are the same.
inline constexpr std::int64_t kKvSpan = 512;
// Query rows (tokens x heads of the group) at once.
inline constexpr std::int64_t kKvQueryRows = 24;

// Bytes of a tile of one head: its keys, then its values. kQ8_0: head_dim is a multiple of 32.
std::size_t kv_tile_bytes(KvType type, std::int64_t head_dim);

// Tiles of one head of one sequence: tile t at (t % slots) * tile_bytes.
struct KvHead {
  std::byte* tiles = nullptr;
  std::int64_t slots = 0, head_dim = 0;
  KvType type = KvType::kF16;
};

// Puts k [head_dim] and v [head_dim] to their place. Values are rounded to f16 (to nearest even) or
// quantised per 32 to s8 with an f16 scale (largest / 127).
using KvStoreFn = void (*)(const KvHead& head, std::int64_t position, const float* k,
                           const float* v);

struct CachedAttentionArgs {
  KvHead head;
  std::int64_t group = 1;     // query heads, next to each other
  std::int64_t tokens = 0;    // rows of q; tokens * group <= kKvQueryRows
  std::int64_t position = 0;  // of the first
  const float* q = nullptr;
  std::int64_t q_stride = 0;  // floats between tokens
  float scale = 1.0F;
  std::int64_t window = 0;  // > 0: a token sees itself and window - 1 before it
  // Positions in [begin, end) alone, multiples of kKvSpan or beyond the last token.
  std::int64_t begin = 0, end = 0;
  float* state = nullptr;    // kv_state_floats: what merge puts together
  float* scratch = nullptr;  // cached_attention_scratch_floats, 64-byte aligned, private
};
// Writes the state of each query row: its largest score, the sum of the exponentials, the sum of
// values. Spans in [begin, end) are merged.
using CachedAttentionFn = void (*)(const CachedAttentionArgs& args);

// into = into and then `from`, for `rows` query rows.
using KvMergeFn = void (*)(std::int64_t rows, std::int64_t head_dim, const float* from,
                           float* into);
// out[token][head] from the state; `out` has rows `out_stride` floats apart.
using KvFinishFn = void (*)(std::int64_t tokens, std::int64_t group, std::int64_t head_dim,
                            const float* state, float* out, std::int64_t out_stride);

struct CachedAttention {
  KvStoreFn store;
  CachedAttentionFn attend;
  KvMergeFn merge;
  KvFinishFn finish;
};

// Floats of a row's state, and of scratch.
constexpr std::int64_t kv_padded(std::int64_t head_dim) {
  return (head_dim + 15) / 16 * 16;
}
constexpr std::int64_t kv_state_floats(std::int64_t head_dim) {
  return kv_padded(head_dim) + 16;
}
constexpr std::int64_t cached_attention_scratch_floats(std::int64_t head_dim) {
  // A tile of keys and one of values, queries, scores, a state and what is added to it.
  return (2 * kKvTile + 3 * kKvQueryRows) * kv_padded(head_dim) +
         kKvQueryRows * (kKvTile + kv_state_floats(head_dim));
}

}  // namespace tack::kernels
