#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "tensor/block_parts.h"
#include "tensor/block_search.h"
#include "tensor/blocks.h"
#include "tensor/convert.h"
#include "tensor/store_f16.h"

namespace tack {
namespace {

// The types with 32 values a block, in the order of operations of the reference (gguf-py's
// quants.py): equal to it in every bit. Codes follow from the scale before it is rounded to f16.

constexpr int kBlock = 32;

// Zero for a scale that is zero, or so small that its inverse is infinite.
float inverse_of(float scale) {
  const float inverse = 1.0F / scale;
  return std::isfinite(inverse) ? inverse : 0.0F;
}

// The first of the values furthest from zero.
float furthest_from_zero(const float* x) {
  float furthest = x[0];
  for (int i = 1; i < kBlock; ++i)
    if (std::fabs(x[i]) > std::fabs(furthest)) furthest = x[i];
  return furthest;
}

// Value i in the low nibbles, value i + 16 in the high ones.
void store_nibbles(const int* codes, std::byte* to) {
  for (int i = 0; i < kBlock / 2; ++i)
    to[i] = static_cast<std::byte>((codes[i] & 15) | (codes[i + 16] & 15) << 4);
}
void store_fifth_bits(const int* codes, std::byte* to) {
  std::uint32_t bits = 0;
  for (int i = 0; i < kBlock; ++i) bits |= static_cast<std::uint32_t>(codes[i] >> 4) << i;
  std::memcpy(to, &bits, sizeof bits);
}

// The value furthest from zero takes code 0, so that the range is used whole. Returns the scale.
float centred_codes(const float* x, int half, int* codes) {
  const float scale = furthest_from_zero(x) / static_cast<float>(-half);
  const float inverse = inverse_of(scale);
  for (int i = 0; i < kBlock; ++i)
    codes[i] = std::min(static_cast<int>(x[i] * inverse + (static_cast<float>(half) + 0.5F)),
                        2 * half - 1);
  return scale;
}

// Codes over the range from the least value to the largest.
struct Range {
  float scale, least;
};
Range codes_over_range(const float* x, int most, int* codes) {
  float least = x[0], largest = x[0];
  for (int i = 1; i < kBlock; ++i) {
    if (x[i] < least) least = x[i];
    if (x[i] > largest) largest = x[i];
  }
  const float scale = (largest - least) / static_cast<float>(most);
  const float inverse = inverse_of(scale);
  for (int i = 0; i < kBlock; ++i)
    codes[i] = std::min(static_cast<int>((x[i] - least) * inverse + 0.5F), most);
  return {scale, least};
}

void write_q4_0(const float* from, std::byte* block) {
  int codes[kBlock];
  store_f16(block, centred_codes(from, 8, codes));
  store_nibbles(codes, block + 2);
}

void write_q4_1(const float* from, std::byte* block) {
  int codes[kBlock];
  const Range range = codes_over_range(from, 15, codes);
  store_f16(block, range.scale);
  store_f16(block + 2, range.least);
  store_nibbles(codes, block + 4);
}

void write_q5_0(const float* from, std::byte* block) {
  int codes[kBlock];
  store_f16(block, centred_codes(from, 16, codes));
  store_fifth_bits(codes, block + 2);
  store_nibbles(codes, block + 6);
}

void write_q5_1(const float* from, std::byte* block) {
  int codes[kBlock];
  const Range range = codes_over_range(from, 31, codes);
  store_f16(block, range.scale);
  store_f16(block + 2, range.least);
  store_fifth_bits(codes, block + 4);
  store_nibbles(codes, block + 8);
}

void write_q8_0(const float* from, std::byte* block) {
  const float scale = std::fabs(furthest_from_zero(from)) / 127.0F;
  const float inverse = inverse_of(scale);
  store_f16(block, scale);
  for (int i = 0; i < kBlock; ++i) {
    // To nearest, ties away from zero.
    const float size = std::fabs(from[i] * inverse);
    const auto whole = static_cast<int>(size);
    const int code = whole + (size - static_cast<float>(whole) >= 0.5F ? 1 : 0);
    block[2 + i] = static_cast<std::byte>(std::signbit(from[i]) ? -code : code);
  }
}

// What a search finds (tensor/block_search.h).
template <DType kType>
void write_weighted(const float* from, const float* importance, std::byte* block) {
  put_together(kType, fit_block(kType, from, importance), block);
}
template <DType kType>
void write_searched(const float* from, std::byte* block) {
  write_weighted<kType>(from, nullptr, block);
}

}  // namespace

WriteBlockFn block_writer(DType dtype) {
  switch (dtype) {
    case DType::kQ4_0:
      return write_q4_0;
    case DType::kQ4_1:
      return write_q4_1;
    case DType::kQ5_0:
      return write_q5_0;
    case DType::kQ5_1:
      return write_q5_1;
    case DType::kQ8_0:
      return write_q8_0;
    case DType::kQ2_K:
      return write_searched<DType::kQ2_K>;
    case DType::kQ3_K:
      return write_searched<DType::kQ3_K>;
    case DType::kQ4_K:
      return write_searched<DType::kQ4_K>;
    case DType::kQ5_K:
      return write_searched<DType::kQ5_K>;
    case DType::kQ6_K:
      return write_searched<DType::kQ6_K>;
    case DType::kIQ4_NL:
      return write_searched<DType::kIQ4_NL>;
    case DType::kIQ4_XS:
      return write_searched<DType::kIQ4_XS>;
    default:
      return nullptr;
  }
}

WriteWeightedFn weighted_block_writer(DType dtype) {
  switch (dtype) {
    case DType::kQ4_0:
      return write_weighted<DType::kQ4_0>;
    case DType::kQ4_1:
      return write_weighted<DType::kQ4_1>;
    case DType::kQ5_0:
      return write_weighted<DType::kQ5_0>;
    case DType::kQ5_1:
      return write_weighted<DType::kQ5_1>;
    case DType::kQ8_0:
      return write_weighted<DType::kQ8_0>;
    case DType::kQ2_K:
      return write_weighted<DType::kQ2_K>;
    case DType::kQ3_K:
      return write_weighted<DType::kQ3_K>;
    case DType::kQ4_K:
      return write_weighted<DType::kQ4_K>;
    case DType::kQ5_K:
      return write_weighted<DType::kQ5_K>;
    case DType::kQ6_K:
      return write_weighted<DType::kQ6_K>;
    case DType::kIQ4_NL:
      return write_weighted<DType::kIQ4_NL>;
    case DType::kIQ4_XS:
      return write_weighted<DType::kIQ4_XS>;
    default:
      return nullptr;
  }
}

DType fitting_dtype(DType wanted, std::int64_t cols) {
  if (cols % info(wanted).block_elements == 0) return wanted;
  switch (wanted) {
    case DType::kQ2_K:
    case DType::kQ3_K:
    case DType::kIQ4_XS:
      return fitting_dtype(DType::kIQ4_NL, cols);
    case DType::kQ4_K:
      return fitting_dtype(DType::kQ5_0, cols);
    case DType::kQ5_K:
      return fitting_dtype(DType::kQ5_1, cols);
    case DType::kQ6_K:
      return fitting_dtype(DType::kQ8_0, cols);
    default:
      return DType::kF16;
  }
}

}  // namespace tack
