// The block types that have products, and how a block of any of them looks to the kernels: codes
// from 0, for 8 rows of weights side by side.
//
// Layouts are those of tensor/blocks.h.
#pragma once

#include <cstdint>

#include "kernels/gemm_blocks.h"

namespace tack::kernels::simd {

// What a type's codes need. A unit is what a row consists of: one block of 32, or eight that share
// a scale. Codes count from 0 to kLargest; kOffset is what stands for zero.
template <int blocks, int bytes, int largest, int offset, bool minimum = false, bool halves = false>
struct BlockType {
  static constexpr int kBlocks = blocks, kBytes = bytes, kLargest = largest, kOffset = offset;
  static constexpr bool kMinimum = minimum;  // a minimum is added
  static constexpr bool kHalves = halves;    // each half of a block has an integer scale
};
struct Q4_0 : BlockType<1, 18, 15, 8> {};
struct Q4_1 : BlockType<1, 20, 15, 0, true> {};
struct Q5_0 : BlockType<1, 22, 31, 16> {};
struct Q5_1 : BlockType<1, 24, 31, 0, true> {};
struct Q8_0 : BlockType<1, 34, 255, 128> {};
struct Q2_K : BlockType<8, 84, 3, 0, true, true> {};
struct Q3_K : BlockType<8, 110, 7, 4, false, true> {};
struct Q4_K : BlockType<8, 144, 15, 0, true> {};
struct Q5_K : BlockType<8, 176, 31, 0, true> {};
struct Q6_K : BlockType<8, 210, 63, 32, false, true> {};
struct Iq4Nl : BlockType<1, 18, 255, 128> {};
struct Iq4Xs : BlockType<8, 136, 255, 128> {};

// Calls body with the type as a template argument.
template <class Body>
inline void with_block_type(DType type, const Body& body) {
  switch (type) {
    case DType::kQ4_0:
      return body.template operator()<Q4_0>();
    case DType::kQ4_1:
      return body.template operator()<Q4_1>();
    case DType::kQ5_0:
      return body.template operator()<Q5_0>();
    case DType::kQ5_1:
      return body.template operator()<Q5_1>();
    case DType::kQ8_0:
      return body.template operator()<Q8_0>();
    case DType::kQ2_K:
      return body.template operator()<Q2_K>();
    case DType::kQ3_K:
      return body.template operator()<Q3_K>();
    case DType::kQ4_K:
      return body.template operator()<Q4_K>();
    case DType::kQ5_K:
      return body.template operator()<Q5_K>();
    case DType::kQ6_K:
      return body.template operator()<Q6_K>();
    case DType::kIQ4_NL:
      return body.template operator()<Iq4Nl>();
    case DType::kIQ4_XS:
      return body.template operator()<Iq4Xs>();
    default:
      return;
  }
}

inline constexpr int kColumns = 8;  // rows of weights, columns of the result, side by side

template <bool minimum>
struct Minimums {
  alignas(32) float least[kColumns];
};
template <>
struct Minimums<false> {};

template <bool halves>
struct HalfScales {
  alignas(32) std::int16_t by[2][kColumns][2];  // the scale of a half, twice
  // Times the halves' sums of activations: the scales again, or what the minimum needs.
  alignas(32) std::int16_t pair[kColumns][2];
};
template <>
struct HalfScales<false> {};

// 32 values of 8 rows. Four neighbours of a row lie together: what a lane of 32 bits multiplies.
template <class T>
struct WeightBlock : Minimums<T::kMinimum>, HalfScales<T::kHalves> {
  alignas(32) std::uint8_t codes[8][kColumns][4];
  alignas(32) float scale[kColumns];
};

// The sixteen values of IQ4_NL and IQ4_XS, plus 128.
alignas(16) inline constexpr std::uint8_t kUneven[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                                         129, 141, 153, 166, 181, 197, 217, 241};

}  // namespace tack::kernels::simd
