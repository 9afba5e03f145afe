// Between storage types and f32. Used at load, in `tack convert`, and for embedding rows; the
// scalar code here is also the specification that faster kernels are tested against.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "tensor/dtype.h"

namespace tack {

std::uint16_t f32_to_f16(float x);  // round to nearest even; overflow to infinity; NaN kept
float f16_to_f32(std::uint16_t h);
std::uint16_t f32_to_bf16(float x);  // round to nearest even; NaN kept quiet
inline float bf16_to_f32(std::uint16_t b) {
  const std::uint32_t bits = static_cast<std::uint32_t>(b) << 16;
  return __builtin_bit_cast(float, bits);
}

// Whether to_f32 knows the type: f32, f16, bf16, Q4_0 to Q8_1, Q2_K to Q6_K, IQ4_NL and IQ4_XS.
bool convertible(DType dtype);

// `from` holds to.size() elements of `dtype`; to.size() is a multiple of the block.
Status to_f32(DType dtype, std::span<const std::byte> from, std::span<float> to);
// Into f32, f16, bf16 or a type that block_writer knows (tensor/blocks.h). Of f16 and block types a
// value that is not finite or beyond f16 is an error that says which.
Status from_f32(DType dtype, std::span<const float> from, std::span<std::byte> to);

// "int8": Q8_0 in which every block of the row carries the same scale, so that one s32 accumulation
// serves the whole row. values.size() is a multiple of 32; |q| <= 127.
// The scale is the one of max|x|/127, rounded to f16 upward so that no value needs to clip.
void quantize_row_int8(std::span<const float> values, std::span<std::byte> q8_0_blocks);

// If all blocks of a Q8_0 row share one scale, that scale; else a negative number.
float shared_q8_0_scale(std::span<const std::byte> q8_0_row);

}  // namespace tack
