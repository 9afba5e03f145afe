#include "tensor/blocks.h"

#include <cstdint>
#include <cstring>

#include "tensor/convert.h"

namespace tack {
namespace {

float half_at(const std::byte* from) {
  std::uint16_t bits;
  std::memcpy(&bits, from, sizeof bits);
  return f16_to_f32(bits);
}
std::uint32_t byte_at(const std::byte* from, int i) {
  return static_cast<std::uint32_t>(from[i]);
}
std::uint32_t word_at(const std::byte* from) {
  std::uint32_t bits;
  std::memcpy(&bits, from, sizeof bits);
  return bits;
}
// Blocks of 32: value i in the low nibbles, value i + 16 in the high ones.
std::uint32_t nibble(const std::byte* codes, int i) {
  return i < 16 ? byte_at(codes, i) & 15U : byte_at(codes, i - 16) >> 4U;
}

// f16 scale; 16 bytes of nibbles, less 8.
void read_q4_0(const std::byte* block, float* to) {
  const float scale = half_at(block);
  for (int i = 0; i < 32; ++i)
    to[i] = scale * static_cast<float>(static_cast<int>(nibble(block + 2, i)) - 8);
}

// f16 scale and minimum; nibbles.
void read_q4_1(const std::byte* block, float* to) {
  const float scale = half_at(block), least = half_at(block + 2);
  for (int i = 0; i < 32; ++i) to[i] = scale * static_cast<float>(nibble(block + 4, i)) + least;
}

// f16 scale and minimum; 32 fifth bits; nibbles.
void read_q5_1(const std::byte* block, float* to) {
  const float scale = half_at(block), least = half_at(block + 2);
  const std::uint32_t high = word_at(block + 4);
  for (int i = 0; i < 32; ++i)
    to[i] = scale * static_cast<float>(nibble(block + 8, i) | (high >> i & 1U) << 4U) + least;
}

// f16 scale, f16 scale times sum; 32 s8.
void read_q8_1(const std::byte* block, float* to) {
  const float scale = half_at(block);
  for (int i = 0; i < 32; ++i)
    to[i] = scale * static_cast<float>(static_cast<std::int8_t>(block[4 + i]));
}

// 16 bytes: a scale in the low nibble, a minimum in the high one, of 16 values each; 64 bytes of
// four 2-bit codes; f16 scale of the scales, f16 of the minima.
void read_q2_k(const std::byte* block, float* to) {
  const std::byte* const codes = block + 16;
  const float scale = half_at(block + 80), least = half_at(block + 82);
  for (int i = 0; i < 256; ++i) {
    const std::uint32_t by = byte_at(block, i / 16);
    const std::uint32_t code = byte_at(codes, i / 128 * 32 + i % 32) >> (i % 128 / 32 * 2) & 3U;
    to[i] = scale * static_cast<float>(by & 15U) * static_cast<float>(code) -
            least * static_cast<float>(by >> 4U);
  }
}

// 32 bytes of third bits, where a clear one subtracts 4; 64 bytes of four 2-bit codes; sixteen
// 6-bit scales, less 32, in 12 bytes; f16 scale of them.
void read_q3_k(const std::byte* block, float* to) {
  const std::byte *const codes = block + 32, *const scales = block + 96;
  const float scale = half_at(block + 108);
  for (int i = 0; i < 256; ++i) {
    const int k = i / 16;
    const std::uint32_t low = k < 8 ? byte_at(scales, k) & 15U : byte_at(scales, k - 8) >> 4U;
    const std::uint32_t high = byte_at(scales, 8 + k % 4) >> (k / 4 * 2) & 3U;
    const int by = static_cast<int>(low | high << 4U) - 32;
    const auto code =
        static_cast<int>(byte_at(codes, i / 128 * 32 + i % 32) >> (i % 128 / 32 * 2) & 3U);
    const bool third = (byte_at(block, i % 32) >> (i / 32) & 1U) != 0;
    to[i] = scale * static_cast<float>(by) * static_cast<float>(third ? code : code - 4);
  }
}

// Scale and minimum of 32 values of Q4_K and Q5_K: 6 bits each in 12 bytes.
struct ScaleAndLeast {
  float scale, least;
};
ScaleAndLeast sixes(const std::byte* packed, int k) {
  if (k < 4)
    return {static_cast<float>(byte_at(packed, k) & 63U),
            static_cast<float>(byte_at(packed, k + 4) & 63U)};
  const std::uint32_t both = byte_at(packed, k + 4);
  return {static_cast<float>((both & 15U) | byte_at(packed, k - 4) >> 6U << 4U),
          static_cast<float>(both >> 4U | byte_at(packed, k) >> 6U << 4U)};
}

// f16 scale of the scales, f16 of the minima; eight of both; 128 bytes: per 64 values, 32 low
// nibbles and then their high ones.
void read_q4_k(const std::byte* block, float* to) {
  const float scale = half_at(block), least = half_at(block + 2);
  for (int k = 0; k < 8; ++k) {
    const auto [by, minus] = sixes(block + 4, k);
    const float s = scale * by, m = least * minus;
    for (int i = 0; i < 32; ++i) {
      const std::uint32_t byte = byte_at(block + 16, k / 2 * 32 + i);
      to[k * 32 + i] = s * static_cast<float>(k % 2 == 0 ? byte & 15U : byte >> 4U) - m;
    }
  }
}

// As Q4_K, with 32 bytes of fifth bits before the nibbles: bit k for the k-th 32 values.
void read_q5_k(const std::byte* block, float* to) {
  const float scale = half_at(block), least = half_at(block + 2);
  for (int k = 0; k < 8; ++k) {
    const auto [by, minus] = sixes(block + 4, k);
    const float s = scale * by, m = least * minus;
    for (int i = 0; i < 32; ++i) {
      const std::uint32_t byte = byte_at(block + 48, k / 2 * 32 + i);
      const std::uint32_t fifth = byte_at(block + 16, i) >> k & 1U;
      to[k * 32 + i] =
          s * static_cast<float>((k % 2 == 0 ? byte & 15U : byte >> 4U) | fifth << 4U) - m;
    }
  }
}

// 128 bytes of nibbles; 64 bytes of four upper 2-bit parts; sixteen s8 scales; f16 scale of them.
// Codes less 32.
void read_q6_k(const std::byte* block, float* to) {
  const std::byte *const upper = block + 128, *const scales = block + 192;
  const float scale = half_at(block + 208);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, quarter = i % 128 / 32, l = i % 32;
    const std::uint32_t byte = byte_at(block, half * 64 + quarter % 2 * 32 + l);
    const std::uint32_t low = quarter < 2 ? byte & 15U : byte >> 4U;
    const std::uint32_t high = byte_at(upper, half * 32 + l) >> (2 * quarter) & 3U;
    const auto by = static_cast<float>(static_cast<std::int8_t>(scales[i / 16]));
    to[i] = scale * by * static_cast<float>(static_cast<int>(low | high << 4U) - 32);
  }
}

float uneven(std::uint32_t index) {
  return static_cast<float>(kUnevenLevels[index]);
}

// f16 scale; nibbles that choose a value.
void read_iq4_nl(const std::byte* block, float* to) {
  const float scale = half_at(block);
  for (int i = 0; i < 32; ++i) to[i] = scale * uneven(nibble(block + 2, i));
}

// f16 scale of the scales; eight 6-bit scales, less 32: upper parts in 2 bytes, nibbles in 4; then
// blocks of 32 as in IQ4_NL.
void read_iq4_xs(const std::byte* block, float* to) {
  const float scale = half_at(block);
  const std::uint32_t upper = byte_at(block, 2) | byte_at(block, 3) << 8U;
  for (int k = 0; k < 8; ++k) {
    const std::uint32_t low = byte_at(block, 4 + k / 2) >> (k % 2 * 4) & 15U;
    const std::uint32_t by = low | (upper >> (2 * k) & 3U) << 4U;
    const float s = scale * static_cast<float>(static_cast<int>(by) - 32);
    for (int i = 0; i < 32; ++i) to[k * 32 + i] = s * uneven(nibble(block + 8 + k * 16, i));
  }
}

}  // namespace

ReadBlockFn block_reader(DType dtype) {
  switch (dtype) {
    case DType::kQ4_0:
      return read_q4_0;
    case DType::kQ4_1:
      return read_q4_1;
    case DType::kQ5_1:
      return read_q5_1;
    case DType::kQ8_1:
      return read_q8_1;
    case DType::kQ2_K:
      return read_q2_k;
    case DType::kQ3_K:
      return read_q3_k;
    case DType::kQ4_K:
      return read_q4_k;
    case DType::kQ5_K:
      return read_q5_k;
    case DType::kQ6_K:
      return read_q6_k;
    case DType::kIQ4_NL:
      return read_iq4_nl;
    case DType::kIQ4_XS:
      return read_iq4_xs;
    default:
      return nullptr;
  }
}

}  // namespace tack
