// Attention over a cache, over a vector type V (f32.h). A tile of keys and values is widened to f32
// once and meets all query rows; the softmax is kept as a running maximum and sum.
#pragma once

#include "kernels/cached_attention.h"
#include "kernels/gemm_int8.h"
#include "kernels/simd/attention.h"

namespace tack::kernels::simd {

inline constexpr std::int64_t kKeyColumns = 16;  // positions of a key tile side by side
inline constexpr float kNoScore = -1e30F;

// Where the parts of a tile lie. In a group of 16 keys: [head_dim][16] values; of kQ8_0 per 32
// dimensions 16 f16 scales and [32][16] codes.
template <class V, KvType type>
struct KvLayout {
  static constexpr std::int64_t kValue = type == KvType::kF32 ? 4 : type == KvType::kF16 ? 2 : 1;
  static std::int64_t row(std::int64_t dim) {  // a row of values
    return type == KvType::kQ8_0 ? dim / 32 * 34 : dim * kValue;
  }
  static std::int64_t keys(std::int64_t dim) { return row(dim) * kKvTile; }
  static std::int64_t tile(std::int64_t dim) { return 2 * keys(dim); }
};

template <class Body>
inline void with_kv_type(KvType type, const Body& body) {
  switch (type) {
    case KvType::kF32:
      return body.template operator()<KvType::kF32>();
    case KvType::kF16:
      return body.template operator()<KvType::kF16>();
    case KvType::kQ8_0:
      return body.template operator()<KvType::kQ8_0>();
  }
}

template <class V, KvType type>
inline typename V::F load_kv(const std::byte* from) {
  if constexpr (type == KvType::kF32) return V::load(reinterpret_cast<const float*>(from));
  if constexpr (type == KvType::kF16) return V::load_half(from);
  return V::load_s8(from);
}

// 32 values as s8 codes and an f16 scale.
template <class V>
inline std::uint16_t quantize_kv(const float* x, std::int8_t* codes) {
  float most = 0;
  for (int i = 0; i < 32; ++i) {
    const float size = __builtin_fabsf(x[i]);
    most = size > most ? size : most;
  }
  const std::uint16_t scale = V::to_half(most / 127.0F);
  const float inverse = most < kSmallestRow ? 0.0F : 127.0F / most;
  for (int i = 0; i < 32; ++i) {
    const float code = x[i] * inverse;
    codes[i] = static_cast<std::int8_t>(code == code ? V::round_one(code) : 0);
  }
  return scale;
}

template <class V>
void store_kv(const KvHead& head, std::int64_t position, const float* k, const float* v) {
  with_kv_type(head.type, [&]<KvType type>() {
    using Layout = KvLayout<V, type>;
    const std::int64_t dim = head.head_dim, in_tile = position % kKvTile;
    std::byte* const tile = head.tiles + position / kKvTile % head.slots * Layout::tile(dim);
    std::byte* const group = tile + in_tile / kKeyColumns * kKeyColumns * Layout::row(dim);
    std::byte* const row = tile + Layout::keys(dim) + in_tile * Layout::row(dim);
    const std::int64_t column = in_tile % kKeyColumns;
    if constexpr (type == KvType::kQ8_0) {
      for (std::int64_t d = 0; d < dim; d += 32) {
        std::int8_t codes[32];
        std::uint16_t scale = quantize_kv<V>(k + d, codes);
        std::byte* const block = group + d / 32 * 34 * kKeyColumns;
        __builtin_memcpy(block + 2 * column, &scale, 2);
        for (int i = 0; i < 32; ++i)
          block[(2 + i) * kKeyColumns + column] = static_cast<std::byte>(codes[i]);
        scale = quantize_kv<V>(v + d, codes);
        __builtin_memcpy(row + d / 32 * 34, &scale, 2);
        __builtin_memcpy(row + d / 32 * 34 + 2, codes, 32);
      }
    } else {
      for (std::int64_t d = 0; d < dim; ++d) {
        std::byte* const key = group + (d * kKeyColumns + column) * Layout::kValue;
        std::byte* const value = row + d * Layout::kValue;
        if constexpr (type == KvType::kF16) {
          const std::uint16_t half_k = V::to_half(k[d]), half_v = V::to_half(v[d]);
          __builtin_memcpy(key, &half_k, 2);
          __builtin_memcpy(value, &half_v, 2);
        } else {
          __builtin_memcpy(key, k + d, 4);
          __builtin_memcpy(value, v + d, 4);
        }
      }
    }
  });
}

// keys [head_dim][64] and values [64][wide] as f32, of the first `rows` positions of a tile; the
// others' keys are whatever is there.
template <class V, KvType type>
inline void widen_tile(const std::byte* tile, std::int64_t dim, std::int64_t rows,
                       std::int64_t wide, float* keys, float* values) {
  using Layout = KvLayout<V, type>;
  using F = typename V::F;
  for (std::int64_t g = 0; g * kKeyColumns < rows; ++g) {
    const std::byte* group = tile + g * kKeyColumns * Layout::row(dim);
    for (std::int64_t c = 0; c < kKeyColumns; c += V::kWidth) {
      float* const to = keys + g * kKeyColumns + c;
      F scale = V::set1(1.0F);
      for (std::int64_t d = 0; d < dim; ++d) {
        const std::byte* from = group + (d * kKeyColumns + c) * Layout::kValue;
        if constexpr (type == KvType::kQ8_0) {
          const std::byte* const block = group + d / 32 * 34 * kKeyColumns;
          if (d % 32 == 0) scale = V::load_half(block + 2 * c);
          from = block + (2 + d % 32) * kKeyColumns + c;
          V::store(to + d * kKvTile, V::mul(scale, load_kv<V, type>(from)));
        } else {
          V::store(to + d * kKvTile, load_kv<V, type>(from));
        }
      }
    }
  }
  const std::byte* row = tile + Layout::keys(dim);
  for (std::int64_t j = 0; j < rows; ++j, row += Layout::row(dim), values += wide) {
    std::int64_t d = 0;
    if constexpr (type == KvType::kQ8_0) {
      for (; d < dim; d += 32) {
        const std::byte* const block = row + d / 32 * 34;
        const F scale = V::set1(V::from_half(block));
        for (int i = 0; i < 32; i += V::kWidth)
          V::store(values + d + i, V::mul(scale, load_kv<V, type>(block + 2 + i)));
      }
    } else {
      for (; d + V::kWidth <= dim; d += V::kWidth)
        V::store(values + d, load_kv<V, type>(row + d * Layout::kValue));
      for (; d < dim; ++d) {
        if constexpr (type == KvType::kF16)
          values[d] = V::from_half(row + d * 2);
        else
          __builtin_memcpy(values + d, row + d * 4, 4);
      }
    }
    for (; d < wide; ++d) values[d] = 0.0F;
  }
}

// A row's state: [wide] sums of values, the largest score, the sum of exponentials.
template <class V>
inline void clear_state(float* state, std::int64_t wide) {
  for (std::int64_t d = 0; d < wide; ++d) state[d] = 0.0F;
  state[wide] = kNoScore;
  state[wide + 1] = 0.0F;
}

template <class V>
inline float exp_one(float x) {
  alignas(64) float lanes[V::kWidth];
  V::store(lanes, exp<V>(V::set1(x)));
  return lanes[0];
}

// One row's scores of a tile, of which [begin, end) are seen, to weights; the others get 0. Returns
// what the state so far is multiplied by.
template <class V>
inline float weigh(float* scores, std::int64_t begin, std::int64_t end, float& most, float& sum) {
  if (begin >= end) {
    for (std::int64_t j = 0; j < kKvTile; ++j) scores[j] = 0.0F;
    return 1.0F;
  }
  for (std::int64_t j = 0; j < begin; ++j) scores[j] = kNoScore;
  for (std::int64_t j = end; j < kKvTile; ++j) scores[j] = kNoScore;
  auto top = V::set1(most);
  for (std::int64_t j = 0; j < kKvTile; j += V::kWidth) top = V::max(top, V::load(scores + j));
  const float larger = V::reduce_max(top);
  const auto limit = V::set1(larger);
  for (std::int64_t j = 0; j < kKvTile; j += V::kWidth)
    V::store(scores + j, exp<V>(V::sub(V::load(scores + j), limit)));
  for (std::int64_t j = 0; j < begin; ++j) scores[j] = 0.0F;
  for (std::int64_t j = end; j < kKvTile; ++j) scores[j] = 0.0F;
  const float here = sum_lanes<V>(kKvTile, [&](typename V::F so_far, std::int64_t j, int) {
    return V::add(so_far, V::load(scores + j));
  });
  const float factor = exp_one<V>(most - larger);
  most = larger;
  sum = __builtin_fmaf(sum, factor, here);
  return factor;
}

template <class V>
void merge_states(std::int64_t rows, std::int64_t dim, const float* from, float* into) {
  const std::int64_t wide = kv_padded(dim), floats = kv_state_floats(dim);
  for (std::int64_t r = 0; r < rows; ++r, from += floats, into += floats) {
    const float a = into[wide], b = from[wide], most = a > b ? a : b;
    const float keep = exp_one<V>(a - most), take = exp_one<V>(b - most);
    for (std::int64_t d = 0; d < wide; d += V::kWidth)
      V::store(into + d,
               V::fma(V::load(from + d), V::set1(take), V::mul(V::load(into + d), V::set1(keep))));
    into[wide] = most;
    into[wide + 1] = __builtin_fmaf(from[wide + 1], take, into[wide + 1] * keep);
  }
}

template <class V>
void finish_states(std::int64_t tokens, std::int64_t group, std::int64_t dim, const float* state,
                   float* out, std::int64_t out_stride) {
  const std::int64_t wide = kv_padded(dim);
  for (std::int64_t t = 0; t < tokens; ++t)
    for (std::int64_t h = 0; h < group; ++h, state += kv_state_floats(dim)) {
      const auto inverse = V::set1(1.0F / state[wide + 1]);
      for_vectors<V>(dim, [&](std::int64_t d, int n) {
        store_some<V>(out + t * out_stride + h * dim + d, V::mul(V::load(state + d), inverse), n);
      });
    }
}

// Scratch of attend(), cut up.
struct AttendScratch {
  float *keys, *values, *queries, *scores, *mixed, *span;
};

template <class V, KvType type>
inline void attend_tile(const CachedAttentionArgs& args, const AttendScratch& s, std::int64_t tile,
                        std::int64_t rows, float* states) {
  const std::int64_t dim = args.head.head_dim, wide = kv_padded(dim);
  const std::int64_t floats = kv_state_floats(dim), first = tile * kKvTile;
  const std::int64_t last = args.position + args.tokens - first;  // behind the last seen by any
  const std::int64_t seen = last < kKvTile ? last : kKvTile;
  widen_tile<V, type>(args.head.tiles + tile % args.head.slots * KvLayout<V, type>::tile(dim), dim,
                      seen, wide, s.keys, s.values);
  for (std::int64_t r0 = 0; r0 < rows; r0 += kQueryBlock) {
    const int block = static_cast<int>(rows - r0 < kQueryBlock ? rows - r0 : kQueryBlock);
    multiply<V>(block, s.queries + r0 * wide, wide, dim, s.keys, kKvTile, kKvTile / V::kWidth,
                s.scores, kKvTile);
    float factor[kQueryBlock];
    for (int r = 0; r < block; ++r) {
      const std::int64_t i = args.position + (r0 + r) / args.group;
      const std::int64_t from = args.window > 0 ? i - args.window + 1 - first : 0;
      const std::int64_t to = i + 1 - first;
      float* const state = states + (r0 + r) * floats;
      factor[r] = weigh<V>(s.scores + r * kKvTile, from > 0 ? from : 0, to < kKvTile ? to : kKvTile,
                           state[wide], state[wide + 1]);
    }
    multiply<V>(block, s.scores, kKvTile, seen, s.values, wide, wide / V::kWidth, s.mixed, wide);
    for (int r = 0; r < block; ++r) {
      float* const state = states + (r0 + r) * floats;
      for (std::int64_t d = 0; d < wide; d += V::kWidth)
        V::store(state + d,
                 V::fma(V::load(state + d), V::set1(factor[r]), V::load(s.mixed + r * wide + d)));
    }
  }
}

template <class V>
void cached_attention(const CachedAttentionArgs& args) {
  const std::int64_t dim = args.head.head_dim, wide = kv_padded(dim);
  const std::int64_t floats = kv_state_floats(dim), rows = args.tokens * args.group;
  AttendScratch s{};
  s.keys = args.scratch;
  s.values = s.keys + wide * kKvTile;
  s.queries = s.values + kKvTile * wide;
  s.mixed = s.queries + kKvQueryRows * wide;
  s.scores = s.mixed + kKvQueryRows * wide;
  s.span = s.scores + kKvQueryRows * kKvTile;
  for (std::int64_t t = 0; t < args.tokens; ++t)
    for (std::int64_t h = 0; h < args.group; ++h) {
      const float* const from = args.q + t * args.q_stride + h * dim;
      float* const to = s.queries + (t * args.group + h) * wide;
      for (std::int64_t d = 0; d < dim; ++d) to[d] = from[d] * args.scale;
    }
  const std::int64_t after = args.position + args.tokens;
  const std::int64_t end = args.end < after ? args.end : after;
  std::int64_t begin = args.begin;
  if (args.window > 0 && args.position - args.window + 1 > begin)
    begin = (args.position - args.window + 1) / kKvTile * kKvTile;
  // Spans in their order. One that no row sees leaves the state as it is, which keeps a row's bits
  // from depending on the rows beside it.
  for (std::int64_t r = 0; r < rows; ++r) clear_state<V>(args.state + r * floats, wide);
  with_kv_type(args.head.type, [&]<KvType type>() {
    while (begin < end) {
      const std::int64_t next = (begin / kKvSpan + 1) * kKvSpan, stop = next < end ? next : end;
      for (std::int64_t r = 0; r < rows; ++r) clear_state<V>(s.span + r * floats, wide);
      for (std::int64_t tile = begin / kKvTile; tile * kKvTile < stop; ++tile)
        attend_tile<V, type>(args, s, tile, rows, s.span);
      merge_states<V>(rows, dim, s.span, args.state);
      begin = next;
    }
  });
}

}  // namespace tack::kernels::simd
