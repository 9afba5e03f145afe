// The blocks of weights in AVX2. Where a type's codes lie four to a lane of 32 bits and 8 rows to a
// vector, a lane is a column of the result: nothing is ever added across lanes.
//
// 16 bytes of each of 8 rows make four such vectors by 4 x 4 transposes within each half of the
// registers. Nibbles are transposed while they are packed, which halves that work.
//
// Codes meet activations in vpmaddubsw, or in vpdpbusd where there is VNNI.
#pragma once

#include <immintrin.h>

#include "kernels/simd/blocks.h"

namespace tack::kernels::avx2 {
namespace {

using simd::kColumns;
using simd::WeightBlock;

__m256i load(const void* from) {
  return _mm256_load_si256(static_cast<const __m256i*>(from));
}
void store(void* to, __m256i v) {
  _mm256_store_si256(static_cast<__m256i*>(to), v);
}
__m256i bytes(int value) {
  return _mm256_set1_epi8(static_cast<char>(value));
}

// 16 bytes of 8 rows: out[t] has bytes 4t to 4t + 3 of row c in lane c.
struct Quads {
  __m256i out[4];
};
[[gnu::always_inline]] inline Quads quads(const std::byte* from, std::int64_t stride) {
  const auto row = [&](std::int64_t i) __attribute__((always_inline)) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i * stride));
  };
  __m256i r[4];
  for (int i = 0; i < 4; ++i)
    r[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(row(i)), row(i + 4), 1);
  const __m256i a = _mm256_unpacklo_epi32(r[0], r[1]), b = _mm256_unpackhi_epi32(r[0], r[1]);
  const __m256i c = _mm256_unpacklo_epi32(r[2], r[3]), d = _mm256_unpackhi_epi32(r[2], r[3]);
  return {{_mm256_unpacklo_epi64(a, c), _mm256_unpackhi_epi64(a, c), _mm256_unpacklo_epi64(b, d),
           _mm256_unpackhi_epi64(b, d)}};
}
// 32 bytes of them.
struct Octets {
  __m256i out[8];
};
[[gnu::always_inline]] inline Octets octets(const std::byte* from, std::int64_t stride) {
  const Quads a = quads(from, stride), b = quads(from + 16, stride);
  return {{a.out[0], a.out[1], a.out[2], a.out[3], b.out[0], b.out[1], b.out[2], b.out[3]}};
}

// One f16 of 8 rows.
[[gnu::always_inline]] inline __m256 halves_at(const std::byte* from, std::int64_t stride) {
  const auto half = [&](std::int64_t i) __attribute__((always_inline)) {
    std::uint16_t bits;
    __builtin_memcpy(&bits, from + i * stride, 2);
    return static_cast<short>(bits);
  };
  return _mm256_cvtph_ps(
      _mm_setr_epi16(half(0), half(1), half(2), half(3), half(4), half(5), half(6), half(7)));
}
// Four bytes of 8 rows.
[[gnu::always_inline]] inline __m256i words_at(const std::byte* from, std::int64_t stride) {
  const auto word = [&](std::int64_t i) __attribute__((always_inline)) {
    int bits;
    __builtin_memcpy(&bits, from + i * stride, 4);
    return bits;
  };
  return _mm256_setr_epi32(word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7));
}
// The f16 in the low or high half of each lane.
[[gnu::always_inline]] inline __m256 low_half(__m256i words) {
  const __m256i low = _mm256_and_si256(words, _mm256_set1_epi32(0xffff));
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, low), 0x08);
  return _mm256_cvtph_ps(_mm256_castsi256_si128(packed));
}
[[gnu::always_inline]] inline __m256 high_half(__m256i words) {
  return low_half(_mm256_srli_epi32(words, 16));
}

[[gnu::always_inline]] inline __m256i low_nibbles(__m256i v) {
  return _mm256_and_si256(v, bytes(15));
}
// Two or four bits of every byte, from bit `shift` on.
[[gnu::always_inline]] inline __m256i bits_at(__m256i v, int shift, int mask) {
  return _mm256_and_si256(_mm256_srli_epi16(v, shift), bytes(mask));
}

// Blocks whose 16 bytes of nibbles at `from` hold values 0 to 15 low, 16 to 31 high.
template <class T>
[[gnu::always_inline]] inline void store_nibbles(const std::byte* from, std::int64_t stride,
                                                 WeightBlock<T>& to) {
  const Quads packed = quads(from, stride);
  for (int t = 0; t < 4; ++t) {
    store(to.codes[t], low_nibbles(packed.out[t]));
    store(to.codes[t + 4], bits_at(packed.out[t], 4, 15));
  }
}

// Adds 16 where bit i of a lane of `fifths` is set, for value i of that row.
template <class T>
[[gnu::always_inline]] inline void add_fifths(__m256i fifths, WeightBlock<T>& to) {
  for (int t = 0; t < 8; ++t) {
    // The byte with these four bits to every byte of the lane; each byte looks at its own.
    const __m256i spread = _mm256_shuffle_epi8(
        fifths, _mm256_add_epi8(_mm256_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c, 0,
                                                  0x04040404, 0x08080808, 0x0c0c0c0c),
                                bytes(t / 2)));
    const __m256i mine = _mm256_set1_epi32(t % 2 == 0 ? 0x08040201 : static_cast<int>(0x80402010U));
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, mine), mine);
    store(to.codes[t], _mm256_or_si256(load(to.codes[t]), _mm256_and_si256(set, bytes(16))));
  }
}

template <class T>
[[gnu::always_inline]] inline void make_uneven(WeightBlock<T>& to) {
  const __m256i table =
      _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(simd::kUneven)));
  for (int t = 0; t < 8; ++t) store(to.codes[t], _mm256_shuffle_epi8(table, load(to.codes[t])));
}

// Byte i of each lane, as floats.
[[gnu::always_inline]] inline __m256 unsigned_at(__m256i words, int i) {
  return _mm256_cvtepi32_ps(
      _mm256_and_si256(_mm256_srli_epi32(words, 8 * i), _mm256_set1_epi32(255)));
}

// Scale and minimum of Q4_K's and Q5_K's eight blocks: 6 bits each, in three words behind the two
// f16 that they count.
template <class T>
inline void store_sixes(const std::byte* unit, std::int64_t stride, WeightBlock<T>* to,
                        std::int64_t step) {
  const Quads head = quads(unit, stride);
  const __m256 scale = low_half(head.out[0]);
  const __m256 least = _mm256_xor_ps(high_half(head.out[0]), _mm256_set1_ps(-0.0F));
  const auto upper = [](__m256i v) { return _mm256_slli_epi16(bits_at(v, 6, 3), 4); };
  const __m256i by[2] = {_mm256_and_si256(head.out[1], bytes(63)),
                         _mm256_or_si256(low_nibbles(head.out[3]), upper(head.out[1]))};
  const __m256i minus[2] = {_mm256_and_si256(head.out[2], bytes(63)),
                            _mm256_or_si256(bits_at(head.out[3], 4, 15), upper(head.out[2]))};
  for (int b = 0; b < 8; ++b) {
    _mm256_store_ps(to[b * step].scale, _mm256_mul_ps(scale, unsigned_at(by[b / 4], b % 4)));
    _mm256_store_ps(to[b * step].least, _mm256_mul_ps(least, unsigned_at(minus[b / 4], b % 4)));
  }
}

// The integer scales of both halves of block b, from s8 in bytes 2b and 2b + 1 of a row's 16.
[[gnu::always_inline]] inline __m256i pair_at(const Quads& sixteen, int b) {
  const __m256i words = sixteen.out[b / 2];
  const __m256i shifted = b % 2 == 0 ? _mm256_slli_epi32(words, 16) : words;
  const __m256i first = _mm256_srai_epi32(_mm256_slli_epi32(shifted, 8), 24);
  const __m256i second = _mm256_srai_epi32(shifted, 24);
  return _mm256_blend_epi16(first, _mm256_slli_epi32(second, 16), 0xaa);
}
template <class T>
[[gnu::always_inline]] inline void store_half_scales(__m256i pair, WeightBlock<T>& to) {
  const __m256i first = _mm256_slli_epi32(pair, 16), second = _mm256_srli_epi32(pair, 16);
  store(to.by[0], _mm256_blend_epi16(_mm256_srli_epi32(first, 16), first, 0xaa));
  store(to.by[1], _mm256_blend_epi16(second, pair, 0xaa));
}

[[gnu::always_inline]] inline void unpack(const std::byte* unit, std::int64_t stride,
                                          WeightBlock<simd::Q4_0>* to, std::int64_t) {
  _mm256_store_ps(to->scale, halves_at(unit, stride));
  store_nibbles(unit + 2, stride, *to);
}
inline void unpack(const std::byte* unit, std::int64_t stride, WeightBlock<simd::Q4_1>* to,
                   std::int64_t) {
  const __m256i head = words_at(unit, stride);
  _mm256_store_ps(to->scale, low_half(head));
  _mm256_store_ps(to->least, high_half(head));
  store_nibbles(unit + 4, stride, *to);
}
inline void unpack(const std::byte* unit, std::int64_t stride, WeightBlock<simd::Q5_0>* to,
                   std::int64_t) {
  _mm256_store_ps(to->scale, halves_at(unit, stride));
  store_nibbles(unit + 6, stride, *to);
  add_fifths(words_at(unit + 2, stride), *to);
}
inline void unpack(const std::byte* unit, std::int64_t stride, WeightBlock<simd::Q5_1>* to,
                   std::int64_t) {
  const __m256i head = words_at(unit, stride);
  _mm256_store_ps(to->scale, low_half(head));
  _mm256_store_ps(to->least, high_half(head));
  store_nibbles(unit + 8, stride, *to);
  add_fifths(words_at(unit + 4, stride), *to);
}
[[gnu::always_inline]] inline void unpack(const std::byte* unit, std::int64_t stride,
                                          WeightBlock<simd::Q8_0>* to, std::int64_t) {
  _mm256_store_ps(to->scale, halves_at(unit, stride));
  const Octets codes = octets(unit + 2, stride);
  for (int t = 0; t < 8; ++t) store(to->codes[t], _mm256_xor_si256(codes.out[t], bytes(128)));
}
inline void unpack(const std::byte* unit, std::int64_t stride, WeightBlock<simd::Iq4Nl>* to,
                   std::int64_t) {
  _mm256_store_ps(to->scale, halves_at(unit, stride));
  store_nibbles(unit + 2, stride, *to);
  make_uneven(*to);
}
inline void unpack(const std::byte* unit, std::int64_t stride, WeightBlock<simd::Iq4Xs>* to,
                   std::int64_t step) {
  const __m256i head = words_at(unit, stride), low = words_at(unit + 4, stride);
  const __m256 scale = low_half(head);
  const __m256i high = _mm256_srli_epi32(head, 16);
  for (int b = 0; b < 8; ++b) {
    const __m256i code = _mm256_or_si256(
        _mm256_and_si256(_mm256_srli_epi32(low, 4 * b), _mm256_set1_epi32(15)),
        _mm256_slli_epi32(_mm256_and_si256(_mm256_srli_epi32(high, 2 * b), _mm256_set1_epi32(3)),
                          4));
    WeightBlock<simd::Iq4Xs>& w = to[b * step];
    const __m256 by = _mm256_cvtepi32_ps(_mm256_sub_epi32(code, _mm256_set1_epi32(32)));
    _mm256_store_ps(w.scale, _mm256_mul_ps(scale, by));
    store_nibbles(unit + 8 + b * 16, stride, w);
    make_uneven(w);
  }
}
inline void unpack(const std::byte* unit, std::int64_t stride, WeightBlock<simd::Q4_K>* to,
                   std::int64_t step) {
  store_sixes(unit, stride, to, step);
  for (int p = 0; p < 4; ++p) {
    const Octets packed = octets(unit + 16 + p * 32, stride);
    for (int t = 0; t < 8; ++t) {
      store(to[2 * p * step].codes[t], low_nibbles(packed.out[t]));
      store(to[(2 * p + 1) * step].codes[t], bits_at(packed.out[t], 4, 15));
    }
  }
}
inline void unpack(const std::byte* unit, std::int64_t stride, WeightBlock<simd::Q5_K>* to,
                   std::int64_t step) {
  store_sixes(unit, stride, to, step);
  const Octets fifths = octets(unit + 16, stride);
  for (int p = 0; p < 4; ++p) {
    const Octets packed = octets(unit + 48 + p * 32, stride);
    for (int t = 0; t < 8; ++t) {
      const auto fifth = [&](int b) __attribute__((always_inline)) {
        return _mm256_slli_epi16(bits_at(fifths.out[t], b, 1), 4);
      };
      store(to[2 * p * step].codes[t], _mm256_or_si256(low_nibbles(packed.out[t]), fifth(2 * p)));
      store(to[(2 * p + 1) * step].codes[t],
            _mm256_or_si256(bits_at(packed.out[t], 4, 15), fifth(2 * p + 1)));
    }
  }
}
inline void unpack(const std::byte* unit, std::int64_t stride, WeightBlock<simd::Q6_K>* to,
                   std::int64_t step) {
  const __m256 scale = halves_at(unit + 208, stride);
  const Quads scales = quads(unit + 192, stride);
  for (int h = 0; h < 2; ++h) {
    const Octets upper = octets(unit + 128 + h * 32, stride);
    for (int part = 0; part < 2; ++part) {
      const Octets packed = octets(unit + h * 64 + part * 32, stride);
      const int low = h * 4 + part, high = low + 2;
      for (int t = 0; t < 8; ++t) {
        const __m256i u = upper.out[t];
        store(to[low * step].codes[t],
              _mm256_or_si256(low_nibbles(packed.out[t]),
                              _mm256_slli_epi16(bits_at(u, 2 * part, 3), 4)));
        store(to[high * step].codes[t],
              _mm256_or_si256(bits_at(packed.out[t], 4, 15),
                              _mm256_slli_epi16(bits_at(u, 2 * part + 4, 3), 4)));
      }
    }
  }
  for (int b = 0; b < 8; ++b) {
    WeightBlock<simd::Q6_K>& w = to[b * step];
    _mm256_store_ps(w.scale, scale);
    const __m256i pair = pair_at(scales, b);
    store(w.pair, pair);
    store_half_scales(pair, w);
  }
}

// Blocks of four 2-bit codes to a byte: those of Q2_K and Q3_K.
template <class T>
inline void store_quarters(const std::byte* from, std::int64_t stride, WeightBlock<T>* to,
                           std::int64_t step) {
  for (int h = 0; h < 2; ++h) {
    const Octets packed = octets(from + h * 32, stride);
    for (int q = 0; q < 4; ++q)
      for (int t = 0; t < 8; ++t)
        store(to[(h * 4 + q) * step].codes[t], bits_at(packed.out[t], 2 * q, 3));
  }
}
inline void unpack(const std::byte* unit, std::int64_t stride, WeightBlock<simd::Q2_K>* to,
                   std::int64_t step) {
  store_quarters(unit + 16, stride, to, step);
  const __m256i head = words_at(unit + 80, stride);
  const __m256 scale = low_half(head);
  const __m256 least = _mm256_xor_ps(high_half(head), _mm256_set1_ps(-0.0F));
  Quads scales = quads(unit, stride), minus = scales;
  for (int i = 0; i < 4; ++i) {
    scales.out[i] = low_nibbles(scales.out[i]);
    minus.out[i] = bits_at(minus.out[i], 4, 15);
  }
  for (int b = 0; b < 8; ++b) {
    WeightBlock<simd::Q2_K>& w = to[b * step];
    _mm256_store_ps(w.scale, scale);
    _mm256_store_ps(w.least, least);
    store(w.pair, pair_at(minus, b));
    store_half_scales(pair_at(scales, b), w);
  }
}
inline void unpack(const std::byte* unit, std::int64_t stride, WeightBlock<simd::Q3_K>* to,
                   std::int64_t step) {
  store_quarters(unit + 32, stride, to, step);
  const Octets third = octets(unit, stride);
  const __m256 scale = halves_at(unit + 108, stride);
  const __m256i a = words_at(unit + 96, stride), b = words_at(unit + 100, stride),
                upper = words_at(unit + 104, stride);
  const auto by = [&](__m256i low, int shift) {
    return _mm256_sub_epi8(_mm256_or_si256(low, _mm256_slli_epi16(bits_at(upper, shift, 3), 4)),
                           bytes(32));
  };
  const Quads scales = {{by(low_nibbles(a), 0), by(low_nibbles(b), 2), by(bits_at(a, 4, 15), 4),
                         by(bits_at(b, 4, 15), 6)}};
  for (int k = 0; k < 8; ++k) {
    WeightBlock<simd::Q3_K>& w = to[k * step];
    for (int t = 0; t < 8; ++t)
      store(w.codes[t],
            _mm256_or_si256(load(w.codes[t]), _mm256_slli_epi16(bits_at(third.out[t], k, 1), 2)));
    _mm256_store_ps(w.scale, scale);
    const __m256i pair = pair_at(scales, k);
    store(w.pair, pair);
    store_half_scales(pair, w);
  }
}

// Without VNNI: pairs of products fit s16, and so do sums of a few pairs: codes to 15 allow eight,
// to 31 four, to 63 two. Codes of 8 bits are taken as two nibbles.
template <bool vnni>
struct BlockTile {
  // Where the sums of 4 rows x 16 columns fit the registers, 6 loads feed 8 products instead of 5
  // feeding 4.
  template <class T>
  static constexpr bool kPairs = vnni ? !T::kHalves : T::kLargest <= 15 && !T::kHalves;

  template <class T>
  static void unpack(const std::byte* unit, std::int64_t stride, WeightBlock<T>* to,
                     std::int64_t step) {
    avx2::unpack(unit, stride, to, step);
  }

  template <class T, int R, int C>
  static void multiply(const simd::ActivationRow (&rows)[R], std::int64_t blocks,
                       const WeightBlock<T>* w, std::int64_t step, float* acc) {
    for (std::int64_t b = 0; b < blocks; ++b, w += step) {
      __m256i sums[R][C];
      if constexpr (vnni)
        dot_vnni<T, R, C>(rows, b, w, sums);
      else
        dot<T, R, C>(rows, b, w, sums);
      for (int r = 0; r < R; ++r)
        for (int c = 0; c < C; ++c)
          add(rows[r].blocks[b], w[c], sums[r][c], acc + (r * C + c) * kColumns);
    }
  }

 private:
  [[gnu::always_inline]] static __m256i four(const simd::ActivationRow& row, std::int64_t b,
                                             int t) {
    int bits;
    __builtin_memcpy(&bits, row.codes + b * kBlockValues + t * 4, 4);
    return _mm256_set1_epi32(bits);
  }

  // The loops over t are unrolled by order: left to itself GCC 12 keeps them, and a sum in memory.
  // Unrolled, it would add as a tree, for which no registers are left: each sum is told apart.
  [[gnu::always_inline]] static void in_order(__m256i& sum) { asm("" : "+x"(sum)); }

  // Lanes from..to of a block's codes, as s16 pairs; no more than fit.
  template <class T, int R, int C>
  [[gnu::always_inline]] static void pairs(const simd::ActivationRow (&rows)[R], std::int64_t b,
                                           const WeightBlock<T>* w, int from, int to,
                                           __m256i (&sums)[R][C]) {
#pragma GCC unroll 8
    for (int t = from; t < to; ++t) {
      __m256i codes[C];
      for (int c = 0; c < C; ++c) codes[c] = load(w[c].codes[t]);
      for (int r = 0; r < R; ++r) {
        const __m256i x = four(rows[r], b, t);
        for (int c = 0; c < C; ++c) {
          const __m256i p = _mm256_maddubs_epi16(codes[c], x);
          sums[r][c] = t == from ? p : _mm256_add_epi16(sums[r][c], p);
          in_order(sums[r][c]);
        }
      }
    }
  }

  template <class T, int R, int C>
  [[gnu::always_inline]] static void dot(const simd::ActivationRow (&rows)[R], std::int64_t b,
                                         const WeightBlock<T>* w, __m256i (&sums)[R][C]) {
    if constexpr (T::kLargest == 255) return dot_bytes<T, R, C>(rows, b, w, sums);
    constexpr int kStretch = T::kHalves ? (T::kLargest <= 31 ? 4 : 2) : T::kLargest <= 15 ? 8 : 4;
#pragma GCC unroll 4
    for (int t = 0; t < 8; t += kStretch) {
      __m256i p[R][C];
      pairs<T, R, C>(rows, b, w, t, t + kStretch, p);
      for (int c = 0; c < C; ++c) {
        __m256i by = _mm256_set1_epi16(1);
        if constexpr (T::kHalves) by = load(w[c].by[t / 4]);
        for (int r = 0; r < R; ++r) {
          const __m256i s = _mm256_madd_epi16(p[r][c], by);
          sums[r][c] = t == 0 ? s : _mm256_add_epi32(sums[r][c], s);
        }
      }
    }
  }

  // Codes of 8 bits: low and high nibbles, sixteen times the second.
  template <class T, int R, int C>
  [[gnu::always_inline]] static void dot_bytes(const simd::ActivationRow (&rows)[R], std::int64_t b,
                                               const WeightBlock<T>* w, __m256i (&sums)[R][C]) {
    static_assert(C == 1);
    __m256i low[R], high[R];
#pragma GCC unroll 8
    for (int t = 0; t < 8; ++t) {
      const __m256i codes = load(w->codes[t]);
      const __m256i l = low_nibbles(codes), h = bits_at(codes, 4, 15);
      for (int r = 0; r < R; ++r) {
        const __m256i x = four(rows[r], b, t);
        const __m256i p = _mm256_maddubs_epi16(l, x), q = _mm256_maddubs_epi16(h, x);
        low[r] = t == 0 ? p : _mm256_add_epi16(low[r], p);
        high[r] = t == 0 ? q : _mm256_add_epi16(high[r], q);
        in_order(low[r]);
        in_order(high[r]);
      }
    }
    for (int r = 0; r < R; ++r)
      sums[r][0] = _mm256_add_epi32(_mm256_madd_epi16(low[r], _mm256_set1_epi16(1)),
                                    _mm256_madd_epi16(high[r], _mm256_set1_epi16(16)));
  }

#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
  template <class T, int R, int C>
  [[gnu::always_inline]] static void dot_vnni(const simd::ActivationRow (&rows)[R], std::int64_t b,
                                              const WeightBlock<T>* w, __m256i (&sums)[R][C]) {
    constexpr int kStretch = T::kHalves ? 4 : 8;
    for (int from = 0; from < 8; from += kStretch) {
      __m256i part[R][C];
      for (int r = 0; r < R; ++r)
        for (int c = 0; c < C; ++c) part[r][c] = _mm256_setzero_si256();
#pragma GCC unroll 8
      for (int t = from; t < from + kStretch; ++t)
        for (int r = 0; r < R; ++r) {
          const __m256i x = four(rows[r], b, t);
          for (int c = 0; c < C; ++c)
            part[r][c] = _mm256_dpbusd_epi32(part[r][c], load(w[c].codes[t]), x);
        }
      for (int r = 0; r < R; ++r)
        for (int c = 0; c < C; ++c) {
          if constexpr (T::kHalves)
            part[r][c] =
                _mm256_mullo_epi32(part[r][c], _mm256_srai_epi32(load(w[c].by[from / 4]), 16));
          sums[r][c] = from == 0 ? part[r][c] : _mm256_add_epi32(sums[r][c], part[r][c]);
        }
    }
  }
#endif

  template <class T>
  [[gnu::always_inline]] static void add(const ActivationBlock& a, const WeightBlock<T>& w,
                                         __m256i sum, float* acc) {
    const __m256 scale = _mm256_set1_ps(a.scale);
    __m256i others = _mm256_set1_epi32(a.total);
    if constexpr (T::kHalves) {
      int both;
      __builtin_memcpy(&both, a.halves, 4);
      others = _mm256_madd_epi16(load(w.pair), _mm256_set1_epi32(both));
    }
    if constexpr (!T::kMinimum)
      sum = _mm256_sub_epi32(sum, _mm256_slli_epi32(others, __builtin_ctz(T::kOffset)));
    __m256 to = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum),
                                _mm256_mul_ps(_mm256_load_ps(w.scale), scale), _mm256_load_ps(acc));
    if constexpr (T::kMinimum && T::kHalves)
      to = _mm256_fmadd_ps(_mm256_cvtepi32_ps(others),
                           _mm256_mul_ps(_mm256_load_ps(w.least), scale), to);
    if constexpr (T::kMinimum && !T::kHalves)
      to = _mm256_fmadd_ps(_mm256_load_ps(w.least), _mm256_set1_ps(a.sum), to);
    _mm256_store_ps(acc, to);
  }
};

inline float largest(__m256 v) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

inline void quantize_blocks(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t k,
                            std::byte* a) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  for (std::int64_t r = 0; r < rows; ++r) {
    std::byte* const row = a + r * static_cast<std::int64_t>(block_row_bytes(k));
    auto* const blocks = reinterpret_cast<ActivationBlock*>(row + k);
    for (std::int64_t b = 0; b < k / kBlockValues; ++b) {
      const float* const from = x + r * ldx + b * kBlockValues;
      __m256 v[4], top = _mm256_setzero_ps(), poison = top;
      for (int i = 0; i < 4; ++i) {
        v[i] = _mm256_loadu_ps(from + i * 8);
        top = _mm256_max_ps(top, _mm256_andnot_ps(sign, v[i]));
        poison = _mm256_fmadd_ps(v[i], _mm256_setzero_ps(), poison);
      }
      const float most = largest(top);
      // Not a number as soon as one value is not finite; else zeros.
      const bool finite =
          _mm256_movemask_ps(_mm256_cmp_ps(poison, _mm256_setzero_ps(), _CMP_EQ_OQ)) == 0xff;
      const bool empty = !finite || most < kSmallestRow;
      const __m256 inverse = _mm256_set1_ps(empty ? 0.0F : 127.0F / most);
      __m256i q[4];
      for (int i = 0; i < 4; ++i)
        q[i] = empty ? _mm256_setzero_si256() : _mm256_cvtps_epi32(_mm256_mul_ps(v[i], inverse));
      const __m256i low = _mm256_packs_epi32(q[0], q[1]), high = _mm256_packs_epi32(q[2], q[3]);
      const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(row + b * kBlockValues),
                          _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order));
      const auto total = [](__m256i s16) {
        const __m256i pairs = _mm256_madd_epi16(s16, _mm256_set1_epi16(1));
        __m128i s =
            _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
        s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
        return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
      };
      const int first = total(low), second = total(high);
      const float scale = !finite ? __builtin_nanf("") : empty ? 0.0F : most / 127.0F;
      blocks[b] = {scale,
                   scale * static_cast<float>(first + second),
                   first + second,
                   {static_cast<std::int16_t>(first), static_cast<std::int16_t>(second)}};
    }
  }
}

}  // namespace
}  // namespace tack::kernels::avx2
