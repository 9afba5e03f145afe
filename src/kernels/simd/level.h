// The table of a level, from its vector type V, its int8 micro-kernel M, and Q, which stores
// quantised values in the layout M reads.
#pragma once

#include "kernels/kernels.h"
#include "kernels/simd/attention.h"
#include "kernels/simd/backward.h"
#include "kernels/simd/cached_attention.h"
#include "kernels/simd/f32.h"
#include "kernels/simd/int8.h"
#include "kernels/simd/product.h"

namespace tack::kernels::simd {

template <class V>
void widen_halves(const std::byte* from, std::int64_t n, float* to) {
  std::int64_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) V::store(to + i, V::load_half(from + 2 * i));
  for (; i < n; ++i) to[i] = V::from_half(from + 2 * i);
}

template <class V, class M, class Q>
constexpr Kernels make_level(Isa isa, Int8PackFn pack, const Blocks* blocks) {
  return {
      .isa = isa,
      .int8_row_tile = M::kRows,
      .int8_row_bytes = M::row_bytes,
      .quantize_rows = quantize_rows<V, Q>,
      .int8_packed_bytes = packed_bytes<M>,
      .int8_pack = pack,
      .int8_gemm = int8_gemm<V, M>,
      .blocks = blocks,
      .attention = attention<V>,
      .cached_attention = {store_kv<V>, cached_attention<V>, merge_states<V>, finish_states<V>},
      .widen_halves = widen_halves<V>,
      .layer_norm = layer_norm<V>,
      .l2_normalize = l2_normalize<V>,
      .activate = activate<V>,
      .product = {product<V>, product_pack<V>, sizeof(float), false},
      .backward = make_backward<V>(),
  };
}

}  // namespace tack::kernels::simd
