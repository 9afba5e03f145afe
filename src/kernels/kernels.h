// The table of kernels of one ISA level, and the choice made once per process.
#pragma once

#include "base/cpu.h"
#include "base/result.h"
#include "kernels/activation.h"
#include "kernels/attention.h"
#include "kernels/backward.h"
#include "kernels/cached_attention.h"
#include "kernels/gemm_blocks.h"
#include "kernels/gemm_int8.h"
#include "kernels/norm.h"
#include "kernels/product.h"

namespace tack::kernels {

struct Kernels {
  Isa isa;
  // Rows that one int8 micro-kernel takes at once: tiles of a multiple of this waste nothing.
  std::int64_t int8_row_tile;
  Int8RowBytesFn int8_row_bytes;
  QuantizeRowsFn quantize_rows;
  Int8PackedBytesFn int8_packed_bytes;
  Int8PackFn int8_pack;
  Int8GemmFn int8_gemm;
  const Blocks* blocks;
  AttentionFn attention;
  CachedAttention cached_attention;
  // n values of f16 to f32.
  void (*widen_halves)(const std::byte* from, std::int64_t n, float* to);
  LayerNormFn layer_norm;
  L2NormalizeFn l2_normalize;
  ActivateFn activate;
  Product product;
  Backward backward;
};

// The kernels chosen by choose_isa(). A bad TACK_ISA is reported by init_kernels(), which main()
// calls first; without it the first kernels() falls back to the best level.
Status init_kernels();
const Kernels& kernels();

// A given level, for tests and benchmarks; null when this binary or processor lacks it.
const Kernels* kernels_for(Isa isa);

}  // namespace tack::kernels
