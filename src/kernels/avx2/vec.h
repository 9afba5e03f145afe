// 8 floats. Only included by files compiled for AVX2 and FMA.
#pragma once

#include <cstdint>

#include <immintrin.h>

namespace tack::kernels::avx2 {

struct Vec {
  using F = __m256;
  using I = __m256i;
  static constexpr int kWidth = 8;
  static constexpr int kAttentionColumns = 2;  // 6 x 2 sums, 2 columns, a broadcast: 15 of 16

  static __m256i mask(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static F load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, F v) { _mm256_storeu_ps(p, v); }
  static F load_tail(const float* p, int n) { return _mm256_maskload_ps(p, mask(n)); }
  static void store_tail(float* p, F v, int n) { _mm256_maskstore_ps(p, mask(n), v); }
  static F keep(F v, int n) { return _mm256_and_ps(v, _mm256_castsi256_ps(mask(n))); }
  static F set1(float x) { return _mm256_set1_ps(x); }
  static F zero() { return _mm256_setzero_ps(); }
  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F div(F a, F b) { return _mm256_div_ps(a, b); }
  static F sqrt(F a) { return _mm256_sqrt_ps(a); }
  static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F fnma(F a, F b, F c) { return _mm256_fnmadd_ps(a, b, c); }
  static F min(F a, F b) { return _mm256_min_ps(a, b); }
  static F max(F a, F b) { return _mm256_max_ps(a, b); }
  static F abs(F a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0F), a); }
  static F floor(F a) { return _mm256_floor_ps(a); }
  static F round(F a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static I to_int(F a) { return _mm256_cvttps_epi32(a); }
  static F from_int(const std::int32_t* p) {
    return _mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static F load_half(const void* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  static F load_s8(const void* p) {
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p))));
  }
  static float from_half(const void* p) {
    unsigned short bits;
    __builtin_memcpy(&bits, p, 2);
    return _cvtsh_ss(bits);
  }
  static std::uint16_t to_half(float x) { return _cvtss_sh(x, 0); }
  static int round_one(float x) { return _mm_cvtss_si32(_mm_set_ss(x)); }
  static F lookup16(const float* table, I index) {
    const F low = _mm256_permutevar8x32_ps(_mm256_load_ps(table), index);
    const F high = _mm256_permutevar8x32_ps(_mm256_load_ps(table + 8), index);
    // Bit 3 of the index, moved to the sign, chooses the half.
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
  }
  // n is a whole number in [-126, 127].
  static F scale2(F p, F n) {
    const I exponent =
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(p, _mm256_castsi256_ps(exponent));
  }
  static float reduce_add(F a) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
  }
  static float reduce_max(F a) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
  }

  // to[d][j] = scale * from[j][d], j < n, d < dim; columns [n, ldt) are zero. ldt is a multiple
  // of 8.
  static void transpose(const float* from, std::int64_t stride, std::int64_t n, std::int64_t dim,
                        float scale, float* to, std::int64_t ldt) {
    const F factor = set1(scale);
    for (std::int64_t j = 0; j < n; j += 8) {
      const std::int64_t rows = n - j < 8 ? n - j : 8;
      for (std::int64_t d = 0; d < dim; d += 8) {
        const int cols = dim - d < 8 ? static_cast<int>(dim - d) : 8;
        F r[8];
        for (int i = 0; i < 8; ++i)
          r[i] = i < rows ? mul(load_tail(from + (j + i) * stride + d, cols), factor) : zero();
        transpose8(r);
        for (int i = 0; i < cols; ++i) store(to + (d + i) * ldt + j, r[i]);
      }
    }
  }

 private:
  static void transpose8(F (&r)[8]) {
    F t[8];
    for (int i = 0; i < 8; i += 2) {
      t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
      t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
      for (int h = 0; h < 2; ++h) {
        r[i + 2 * h] = _mm256_shuffle_ps(t[i + h], t[i + 2 + h], 0x44);
        r[i + 2 * h + 1] = _mm256_shuffle_ps(t[i + h], t[i + 2 + h], 0xee);
      }
    for (int c = 0; c < 4; ++c) {
      t[c] = _mm256_permute2f128_ps(r[c], r[4 + c], 0x20);
      t[4 + c] = _mm256_permute2f128_ps(r[c], r[4 + c], 0x31);
    }
    for (int i = 0; i < 8; ++i) r[i] = t[i];
  }
};

}  // namespace tack::kernels::avx2
