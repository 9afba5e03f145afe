// The blocks of weights in plain C++, for levels without a tile of their own: right, not fast.
#pragma once

#include "kernels/scalar/half.h"
#include "kernels/simd/blocks.h"

namespace tack::kernels::scalar {
namespace {

using simd::kColumns;
using simd::WeightBlock;

std::uint32_t byte_at(const std::byte* from, int i) {
  return static_cast<std::uint32_t>(from[i]);
}
std::uint32_t word_at(const std::byte* from) {
  return byte_at(from, 0) | byte_at(from, 1) << 8 | byte_at(from, 2) << 16 | byte_at(from, 3) << 24;
}
float half_at(const std::byte* from) {
  return half_to_float(static_cast<std::uint16_t>(byte_at(from, 0) | byte_at(from, 1) << 8));
}

// One row's 32 values. Integers that only some types have are left alone by the others.
struct RowBlock {
  std::uint8_t codes[32];
  float scale, least;
  int by[2], pair[2];
};

// The 32 nibbles of 16 bytes; what the high bits of `fifths` add.
void nibbles(const std::byte* from, std::uint32_t fifths, RowBlock& to) {
  for (int i = 0; i < 16; ++i) {
    to.codes[i] = static_cast<std::uint8_t>((byte_at(from, i) & 15U) | (fifths >> i & 1U) << 4);
    to.codes[i + 16] =
        static_cast<std::uint8_t>(byte_at(from, i) >> 4 | (fifths >> (i + 16) & 1U) << 4);
  }
}

void uneven(RowBlock& to) {
  for (std::uint8_t& code : to.codes) code = simd::kUneven[code];
}

// Scale and minimum of Q4_K's and Q5_K's block b, of 6 bits in 12 bytes.
void sixes(const std::byte* unit, int b, RowBlock& to) {
  const std::byte* const packed = unit + 4;
  std::uint32_t by, minus;
  if (b < 4) {
    by = byte_at(packed, b) & 63U;
    minus = byte_at(packed, b + 4) & 63U;
  } else {
    by = (byte_at(packed, b + 4) & 15U) | byte_at(packed, b - 4) >> 6 << 4;
    minus = byte_at(packed, b + 4) >> 4 | byte_at(packed, b) >> 6 << 4;
  }
  to.scale = half_at(unit) * static_cast<float>(by);
  to.least = -(half_at(unit + 2) * static_cast<float>(minus));
}

void read(simd::Q4_0, const std::byte* unit, int, RowBlock& to) {
  to.scale = half_at(unit);
  nibbles(unit + 2, 0, to);
}
void read(simd::Q4_1, const std::byte* unit, int, RowBlock& to) {
  to.scale = half_at(unit);
  to.least = half_at(unit + 2);
  nibbles(unit + 4, 0, to);
}
void read(simd::Q5_0, const std::byte* unit, int, RowBlock& to) {
  to.scale = half_at(unit);
  nibbles(unit + 6, word_at(unit + 2), to);
}
void read(simd::Q5_1, const std::byte* unit, int, RowBlock& to) {
  to.scale = half_at(unit);
  to.least = half_at(unit + 2);
  nibbles(unit + 8, word_at(unit + 4), to);
}
void read(simd::Q8_0, const std::byte* unit, int, RowBlock& to) {
  to.scale = half_at(unit);
  for (int i = 0; i < 32; ++i) to.codes[i] = static_cast<std::uint8_t>(byte_at(unit + 2, i) ^ 128U);
}
void read(simd::Iq4Nl, const std::byte* unit, int, RowBlock& to) {
  to.scale = half_at(unit);
  nibbles(unit + 2, 0, to);
  uneven(to);
}
void read(simd::Iq4Xs, const std::byte* unit, int b, RowBlock& to) {
  const std::uint32_t low = byte_at(unit, 4 + b / 2) >> (b % 2 * 4) & 15U;
  const std::uint32_t high = (byte_at(unit, 2) | byte_at(unit, 3) << 8) >> (2 * b) & 3U;
  to.scale = half_at(unit) * static_cast<float>(static_cast<int>(low | high << 4) - 32);
  nibbles(unit + 8 + b * 16, 0, to);
  uneven(to);
}
void read(simd::Q4_K, const std::byte* unit, int b, RowBlock& to) {
  sixes(unit, b, to);
  for (int i = 0; i < 32; ++i)
    to.codes[i] =
        static_cast<std::uint8_t>(byte_at(unit + 16, b / 2 * 32 + i) >> (b % 2 * 4) & 15U);
}
void read(simd::Q5_K, const std::byte* unit, int b, RowBlock& to) {
  sixes(unit, b, to);
  for (int i = 0; i < 32; ++i)
    to.codes[i] =
        static_cast<std::uint8_t>((byte_at(unit + 48, b / 2 * 32 + i) >> (b % 2 * 4) & 15U) |
                                  (byte_at(unit + 16, i) >> b & 1U) << 4);
}
void read(simd::Q6_K, const std::byte* unit, int b, RowBlock& to) {
  to.scale = half_at(unit + 208);
  for (int i = 0; i < 32; ++i) {
    const std::uint32_t low = byte_at(unit, b / 4 * 64 + b % 2 * 32 + i) >> (b % 4 / 2 * 4) & 15U;
    const std::uint32_t high = byte_at(unit + 128, b / 4 * 32 + i) >> (b % 4 * 2) & 3U;
    to.codes[i] = static_cast<std::uint8_t>(low | high << 4);
  }
  for (int h = 0; h < 2; ++h)
    to.by[h] = to.pair[h] = static_cast<std::int8_t>(byte_at(unit + 192, 2 * b + h));
}
void read(simd::Q3_K, const std::byte* unit, int b, RowBlock& to) {
  to.scale = half_at(unit + 108);
  for (int i = 0; i < 32; ++i)
    to.codes[i] =
        static_cast<std::uint8_t>((byte_at(unit + 32, b / 4 * 32 + i) >> (b % 4 * 2) & 3U) |
                                  (byte_at(unit, i) >> b & 1U) << 2);
  for (int h = 0; h < 2; ++h) {
    const int k = 2 * b + h;
    const std::uint32_t low = byte_at(unit + 96, k % 8) >> (k / 8 * 4) & 15U;
    const std::uint32_t high = byte_at(unit + 104, k % 4) >> (k / 4 * 2) & 3U;
    to.by[h] = to.pair[h] = static_cast<int>(low | high << 4) - 32;
  }
}
void read(simd::Q2_K, const std::byte* unit, int b, RowBlock& to) {
  to.scale = half_at(unit + 80);
  to.least = -half_at(unit + 82);
  for (int i = 0; i < 32; ++i)
    to.codes[i] = static_cast<std::uint8_t>(byte_at(unit + 16, b / 4 * 32 + i) >> (b % 4 * 2) & 3U);
  for (int h = 0; h < 2; ++h) {
    to.by[h] = static_cast<int>(byte_at(unit, 2 * b + h) & 15U);
    to.pair[h] = static_cast<int>(byte_at(unit, 2 * b + h) >> 4);
  }
}

struct BlockTile {
  template <class T>
  static constexpr bool kPairs = false;

  template <class T>
  static void unpack(const std::byte* unit, std::int64_t stride, WeightBlock<T>* to,
                     std::int64_t step) {
    for (int b = 0; b < T::kBlocks; ++b)
      for (int c = 0; c < kColumns; ++c) {
        RowBlock row;
        read(T{}, unit + c * stride, b, row);
        WeightBlock<T>& w = to[b * step];
        for (int i = 0; i < 32; ++i) w.codes[i / 4][c][i % 4] = row.codes[i];
        w.scale[c] = row.scale;
        if constexpr (T::kMinimum) w.least[c] = row.least;
        if constexpr (T::kHalves)
          for (int h = 0; h < 2; ++h) {
            w.by[h][c][0] = w.by[h][c][1] = static_cast<std::int16_t>(row.by[h]);
            w.pair[c][h] = static_cast<std::int16_t>(row.pair[h]);
          }
      }
  }

  template <class T, int R, int C>
  static void multiply(const simd::ActivationRow (&rows)[R], std::int64_t blocks,
                       const WeightBlock<T>* w, std::int64_t step, float* acc) {
    static_assert(C == 1);
    for (std::int64_t b = 0; b < blocks; ++b)
      for (int r = 0; r < R; ++r)
        add(rows[r].codes + b * kBlockValues, rows[r].blocks[b], w[b * step], acc + r * kColumns);
  }

 private:
  template <class T>
  static void add(const std::int8_t* x, const ActivationBlock& a, const WeightBlock<T>& w,
                  float* acc) {
    for (int c = 0; c < kColumns; ++c) {
      std::int32_t half[2] = {};
      for (int i = 0; i < 32; ++i) half[i / 16] += w.codes[i / 4][c][i % 4] * x[i];
      std::int32_t sum, others = a.total;
      if constexpr (T::kHalves) {
        sum = half[0] * w.by[0][c][0] + half[1] * w.by[1][c][0];
        others = w.pair[c][0] * a.halves[0] + w.pair[c][1] * a.halves[1];
      } else {
        sum = half[0] + half[1];
      }
      if constexpr (!T::kMinimum) sum -= T::kOffset * others;
      acc[c] = __builtin_fmaf(static_cast<float>(sum), w.scale[c] * a.scale, acc[c]);
      if constexpr (T::kMinimum && T::kHalves)
        acc[c] = __builtin_fmaf(static_cast<float>(others), w.least[c] * a.scale, acc[c]);
      if constexpr (T::kMinimum && !T::kHalves) acc[c] = __builtin_fmaf(w.least[c], a.sum, acc[c]);
    }
  }
};

void quantize_blocks(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t k,
                     std::byte* a) {
  for (std::int64_t r = 0; r < rows; ++r) {
    std::byte* const row = a + r * static_cast<std::int64_t>(block_row_bytes(k));
    for (std::int64_t b = 0; b < k / kBlockValues; ++b) {
      const float* const from = x + r * ldx + b * kBlockValues;
      auto* const codes = reinterpret_cast<std::int8_t*>(row) + b * kBlockValues;
      float most = 0, poison = 0;
      for (int i = 0; i < kBlockValues; ++i) {
        most = __builtin_fabsf(from[i]) > most ? __builtin_fabsf(from[i]) : most;
        poison += from[i] * 0.0F;
      }
      const bool finite = poison == 0.0F, empty = !finite || most < kSmallestRow;
      const float inverse = empty ? 0.0F : 127.0F / most;
      std::int16_t halves[2] = {};
      for (int i = 0; i < kBlockValues; ++i) {
        codes[i] = empty ? std::int8_t{0}
                         : static_cast<std::int8_t>(__builtin_nearbyintf(from[i] * inverse));
        halves[i / 16] = static_cast<std::int16_t>(halves[i / 16] + codes[i]);
      }
      const float scale = !finite ? __builtin_nanf("") : empty ? 0.0F : most / 127.0F;
      const std::int32_t total = halves[0] + halves[1];
      reinterpret_cast<ActivationBlock*>(row + k)[b] = {
          scale, scale * static_cast<float>(total), total, {halves[0], halves[1]}};
    }
  }
}

}  // namespace
}  // namespace tack::kernels::scalar
