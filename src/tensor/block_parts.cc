#include "tensor/block_parts.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

#include "tensor/blocks.h"
#include "tensor/convert.h"
#include "tensor/store_f16.h"

namespace tack {
namespace {

// Where codes lie in a block is said once, as places, and serves reading and writing.

// Bits from bit `shift` of byte `byte` upwards.
struct Place {
  std::uint8_t byte = 0, shift = 0;
};
// A row of numbers, each in one or two places: low bits and high bits.
template <int kCount>
struct Field {
  int low_bits = 0, high_bits = 0;
  int bias = 0;  // subtracted from what is stored
  std::array<Place, kCount> low = {}, high = {};
};

struct Layout {
  int values = 0, group = 0;
  int scale_at = 0, offset_at = -1;  // the block's f16; -1: none
  int offset_sign = 1;               // -1: minima, which are subtracted
  bool uneven = false;               // codes are indices of kUnevenLevels
  Field<256> codes;
  Field<16> scales, offsets;  // of the groups; no bits: none are stored
};

template <int kCount, typename Low, typename High>
constexpr Field<kCount> field(int low_bits, int high_bits, int bias, int count, Low low,
                              High high) {
  Field<kCount> out{
      .low_bits = low_bits, .high_bits = high_bits, .bias = bias, .low = {}, .high = {}};
  const auto place = [](std::array<int, 2> at) {
    return Place{static_cast<std::uint8_t>(at[0]), static_cast<std::uint8_t>(at[1])};
  };
  for (int i = 0; i < count; ++i) {
    out.low[static_cast<std::size_t>(i)] = place(low(i));
    out.high[static_cast<std::size_t>(i)] = place(high(i));
  }
  return out;
}
constexpr auto kNowhere = [](int) { return std::array{0, 0}; };

// Blocks of 32: value i in the low nibbles, value i + 16 in the high ones, fifth bits in one word.
constexpr Field<256> nibbles(int at, int bias) {
  return field<256>(
      4, 0, bias, 32, [=](int i) { return std::array{at + i % 16, i / 16 * 4}; }, kNowhere);
}
constexpr Field<256> fives(int nibbles_at, int fifths_at, int bias) {
  return field<256>(
      4, 1, bias, 32, [=](int i) { return std::array{nibbles_at + i % 16, i / 16 * 4}; },
      [=](int i) { return std::array{fifths_at + i / 8, i % 8}; });
}
// Blocks of 256: four codes of 2 bits a byte, 128 values in 32 bytes.
constexpr auto pairs_at(int at) {
  return [at](int i) { return std::array{at + i / 128 * 32 + i % 32, i % 128 / 32 * 2}; };
}
// 32 low nibbles and then their high ones in 32 bytes.
constexpr auto nibbles_at(int at) {
  return [at](int i) { return std::array{at + i / 64 * 32 + i % 32, i % 64 / 32 * 4}; };
}
// One bit a byte of 32 bytes for each 32 values.
constexpr auto bits_at(int at) {
  return [at](int i) { return std::array{at + i % 32, i / 32}; };
}

// Eight 6-bit scales and minima of Q4_K and Q5_K, in 12 bytes at 4.
constexpr Field<16> kSixScales = field<16>(
    4, 2, 0, 8, [](int g) { return g < 4 ? std::array{4 + g, 0} : std::array{8 + g, 0}; },
    [](int g) { return g < 4 ? std::array{4 + g, 4} : std::array{g, 6}; });
constexpr Field<16> kSixLeasts = field<16>(
    4, 2, 0, 8, [](int g) { return g < 4 ? std::array{8 + g, 0} : std::array{8 + g, 4}; },
    [](int g) { return g < 4 ? std::array{8 + g, 4} : std::array{4 + g, 6}; });

constexpr Layout kQ4_0 = {.values = 32, .group = 32, .codes = nibbles(2, 8)};
constexpr Layout kQ4_1 = {.values = 32, .group = 32, .offset_at = 2, .codes = nibbles(4, 0)};
constexpr Layout kQ5_0 = {.values = 32, .group = 32, .codes = fives(6, 2, 16)};
constexpr Layout kQ5_1 = {.values = 32, .group = 32, .offset_at = 2, .codes = fives(8, 4, 0)};
// Codes of 8 bits carry their sign.
constexpr Layout kQ8_0 = {
    .values = 32,
    .group = 32,
    .codes = field<256>(8, 0, 0, 32, [](int i) { return std::array{2 + i, 0}; }, kNowhere)};
constexpr Layout kQ2_K = {
    .values = 256,
    .group = 16,
    .scale_at = 80,
    .offset_at = 82,
    .offset_sign = -1,
    .codes = field<256>(2, 0, 0, 256, pairs_at(16), kNowhere),
    .scales = field<16>(
        4, 0, 0, 16, [](int g) { return std::array{g, 0}; }, kNowhere),
    .offsets = field<16>(4, 0, 0, 16, [](int g) { return std::array{g, 4}; }, kNowhere)};
constexpr Layout kQ3_K = {.values = 256,
                          .group = 16,
                          .scale_at = 108,
                          .codes = field<256>(2, 1, 4, 256, pairs_at(32), bits_at(0)),
                          .scales = field<16>(
                              4, 2, 32, 16, [](int g) { return std::array{96 + g % 8, g / 8 * 4}; },
                              [](int g) { return std::array{104 + g % 4, g / 4 * 2}; })};
constexpr Layout kQ4_K = {.values = 256,
                          .group = 32,
                          .offset_at = 2,
                          .offset_sign = -1,
                          .codes = field<256>(4, 0, 0, 256, nibbles_at(16), kNowhere),
                          .scales = kSixScales,
                          .offsets = kSixLeasts};
constexpr Layout kQ5_K = {.values = 256,
                          .group = 32,
                          .offset_at = 2,
                          .offset_sign = -1,
                          .codes = field<256>(4, 1, 0, 256, nibbles_at(48), bits_at(16)),
                          .scales = kSixScales,
                          .offsets = kSixLeasts};
constexpr Layout kQ6_K = {
    .values = 256,
    .group = 16,
    .scale_at = 208,
    .codes = field<256>(
        4, 2, 32, 256, [](int i) { return std::array{i / 128 * 64 + i % 64, i % 128 / 64 * 4}; },
        pairs_at(128)),
    .scales = field<16>(8, 0, 0, 16, [](int g) { return std::array{192 + g, 0}; }, kNowhere)};
constexpr Layout kIQ4_NL = {.values = 32, .group = 32, .uneven = true, .codes = nibbles(2, 0)};
constexpr Layout kIQ4_XS = {
    .values = 256,
    .group = 32,
    .uneven = true,
    .codes = field<256>(
        4, 0, 0, 256, [](int i) { return std::array{8 + i / 32 * 16 + i % 16, i % 32 / 16 * 4}; },
        kNowhere),
    .scales = field<16>(
        4, 2, 32, 8, [](int g) { return std::array{4 + g / 2, g % 2 * 4}; },
        [](int g) { return std::array{2 + g / 4, g % 4 * 2}; })};

const Layout* layout_of(DType dtype) {
  switch (dtype) {
    case DType::kQ4_0:
      return &kQ4_0;
    case DType::kQ4_1:
      return &kQ4_1;
    case DType::kQ5_0:
      return &kQ5_0;
    case DType::kQ5_1:
      return &kQ5_1;
    case DType::kQ8_0:
      return &kQ8_0;
    case DType::kQ2_K:
      return &kQ2_K;
    case DType::kQ3_K:
      return &kQ3_K;
    case DType::kQ4_K:
      return &kQ4_K;
    case DType::kQ5_K:
      return &kQ5_K;
    case DType::kQ6_K:
      return &kQ6_K;
    case DType::kIQ4_NL:
      return &kIQ4_NL;
    case DType::kIQ4_XS:
      return &kIQ4_XS;
    default:
      return nullptr;
  }
}

template <int kCount>
void take(const Field<kCount>& field, int count, const std::byte* block, std::int8_t* to) {
  const int low_mask = (1 << field.low_bits) - 1, high_mask = (1 << field.high_bits) - 1;
  for (int i = 0; i < count; ++i) {
    const Place low = field.low[static_cast<std::size_t>(i)],
                high = field.high[static_cast<std::size_t>(i)];
    const int bits = (static_cast<int>(block[low.byte]) >> low.shift & low_mask) |
                     (static_cast<int>(block[high.byte]) >> high.shift & high_mask)
                         << field.low_bits;
    to[i] = static_cast<std::int8_t>(bits - field.bias);
  }
}

// Into bits that are zero.
template <int kCount>
void put(const Field<kCount>& field, int count, const std::int8_t* from, std::byte* block) {
  const int low_mask = (1 << field.low_bits) - 1, high_mask = (1 << field.high_bits) - 1;
  for (int i = 0; i < count; ++i) {
    const Place low = field.low[static_cast<std::size_t>(i)],
                high = field.high[static_cast<std::size_t>(i)];
    const int bits = from[i] + field.bias;
    block[low.byte] |= static_cast<std::byte>((bits & low_mask) << low.shift);
    block[high.byte] |= static_cast<std::byte>((bits >> field.low_bits & high_mask) << high.shift);
  }
}

float half_at(const std::byte* from) {
  std::uint16_t bits;
  std::memcpy(&bits, from, sizeof bits);
  return f16_to_f32(bits);
}

std::int8_t index_of(std::int8_t level) {
  return static_cast<std::int8_t>(std::ranges::lower_bound(kUnevenLevels, level) -
                                  kUnevenLevels.begin());
}

// A run of all integers that a code can be.
std::span<const std::int8_t> integers(int from, int to) {
  static const std::array<std::int8_t, 256> kAll = [] {
    std::array<std::int8_t, 256> all;
    std::iota(all.begin(), all.end(), std::int8_t{-128});
    return all;
  }();
  return std::span(kAll).subspan(static_cast<std::size_t>(from + 128),
                                 static_cast<std::size_t>(to - from + 1));
}

}  // namespace

bool has_parts(DType dtype) {
  return layout_of(dtype) != nullptr;
}

std::span<const std::int8_t> block_levels(DType dtype) {
  const Layout* const layout = layout_of(dtype);
  if (layout == nullptr) return {};
  if (layout->uneven) return kUnevenLevels;
  if (dtype == DType::kQ8_0) return integers(-127, 127);
  const int bits = layout->codes.low_bits + layout->codes.high_bits, bias = layout->codes.bias;
  return integers(-bias, (1 << bits) - 1 - bias);
}

BlockParts take_apart(DType dtype, const std::byte* block) {
  const Layout& layout = *layout_of(dtype);
  BlockParts parts{.values = layout.values, .group = layout.group};
  const int groups = layout.values / layout.group;
  parts.scale = half_at(block + layout.scale_at);
  if (layout.offset_at >= 0)
    parts.offset = static_cast<float>(layout.offset_sign) * half_at(block + layout.offset_at);
  const auto take_groups = [&](const Field<16>& field, std::int8_t otherwise, std::int8_t* to) {
    if (field.low_bits > 0)
      take(field, groups, block, to);
    else
      std::fill_n(to, groups, otherwise);
  };
  take_groups(layout.scales, 1, parts.scale_code);
  take_groups(layout.offsets, layout.offset_at >= 0 ? 1 : 0, parts.offset_code);
  take(layout.codes, layout.values, block, parts.code);
  if (layout.uneven)
    for (int i = 0; i < layout.values; ++i)
      parts.code[i] = kUnevenLevels[static_cast<std::size_t>(parts.code[i])];
  return parts;
}

void put_together(DType dtype, const BlockParts& parts, std::byte* block) {
  const Layout& layout = *layout_of(dtype);
  const int groups = layout.values / layout.group;
  std::memset(block, 0, info(dtype).block_bytes);
  store_f16(block + layout.scale_at, parts.scale);
  if (layout.offset_at >= 0)
    store_f16(block + layout.offset_at, static_cast<float>(layout.offset_sign) * parts.offset);
  put(layout.scales, groups, parts.scale_code, block);
  put(layout.offsets, groups, parts.offset_code, block);
  if (!layout.uneven) return put(layout.codes, layout.values, parts.code, block);
  std::int8_t indices[256];
  for (int i = 0; i < layout.values; ++i) indices[i] = index_of(parts.code[i]);
  put(layout.codes, layout.values, indices, block);
}

}  // namespace tack
