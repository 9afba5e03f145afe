// A block of a GGUF type taken apart into scales and codes, and put together again: what GPTQ and
// learned scales change while the rest stays.
//
// Value i of the block, in group g = i / group, is
//   scale * scale_code[g] * code[i] + offset * offset_code[g].
// Types without a second level of scales have one group and scale codes of 1; types without an
// offset have offset codes of 0. Minima, which Q2_K, Q4_K and Q5_K subtract, are here negative
// offsets of codes that are not negative.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tensor/dtype.h"

namespace tack {

struct BlockParts {
  int values = 0, group = 0;        // elements of the block, and of a group
  float scale = 0, offset = 0;      // exact in f16
  std::int8_t scale_code[16] = {};  // of each group
  std::int8_t offset_code[16] = {};
  std::int8_t code[256] = {};  // one of block_levels()
};

// Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K, IQ4_NL, IQ4_XS.
bool has_parts(DType dtype);
// The codes that a writer gives to values, ascending: -8 to 7 of Q4_0, the table of IQ4_NL. (A
// block of Q8_0 from elsewhere can hold -128 too.) Empty for other types.
std::span<const std::int8_t> block_levels(DType dtype);

// Of a type that has parts. Equal in value to what tensor/blocks.h reads, up to the rounding of
// f32.
BlockParts take_apart(DType dtype, const std::byte* block);
// The inverse, bit for bit where scale and offset are finite; scale and offset are rounded to f16,
// codes must be of the type's levels.
void put_together(DType dtype, const BlockParts& parts, std::byte* block);

}  // namespace tack
