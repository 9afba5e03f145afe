// The block types of GGUF: what llama.cpp and others write, read (beyond Q8_0 and Q5_0, which
// tensor/convert.h reads), and those that `tack convert` writes.
// Layouts: the block structs of https://github.com/ggml-org/ggml (ggml-common.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace tack {

// Widens one block (info(dtype).block_bytes) to block_elements floats, with the reference's order
// of operations: equal to it in every bit.
using ReadBlockFn = void (*)(const std::byte* block, float* to);

// The sixteen values of IQ4_NL and IQ4_XS, closer to each other around zero.
inline constexpr std::array<std::int8_t, 16> kUnevenLevels = {
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// Null for a type that is not one of these.
ReadBlockFn block_reader(DType dtype);

// Writes block_elements values as one block. They are finite and at most kBlockLimit in size, so
// that every scale fits f16. Q4_0 to Q8_0 are round-to-nearest, equal to the reference in every
// bit; the others search for the least squared error (tensor/block_search.h).
using WriteBlockFn = void (*)(const float* from, std::byte* block);
inline constexpr float kBlockLimit = 65504.0F;

// Null for a type that is not one of Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K, IQ4_NL, IQ4_XS.
WriteBlockFn block_writer(DType dtype);

// Likewise, by a search for the least sum of importance[i] * (from[i] - stored[i])^2; importance
// [block_elements] is finite and not negative, or null for ones.
using WriteWeightedFn = void (*)(const float* from, const float* importance, std::byte* block);

// For the same types.
WriteWeightedFn weighted_block_writer(DType dtype);

// The type that rows of `cols` values can have: where they are no whole number of blocks, the one
// that llama.cpp takes instead, of more bits; f16 in the end.
DType fitting_dtype(DType wanted, std::int64_t cols);

}  // namespace tack
