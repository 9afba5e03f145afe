// 16 floats. Only included by files compiled for AVX-512.
#pragma once

#include <cstdint>

#include <immintrin.h>

namespace tack::kernels::avx512 {

struct Vec {
  using F = __m512;
  using I = __m512i;
  static constexpr int kWidth = 16;
  static constexpr int kAttentionColumns = 4;

  static __mmask16 mask(int n) { return static_cast<__mmask16>((1U << n) - 1U); }
  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, F v) { _mm512_storeu_ps(p, v); }
  static F load_tail(const float* p, int n) { return _mm512_maskz_loadu_ps(mask(n), p); }
  static void store_tail(float* p, F v, int n) { _mm512_mask_storeu_ps(p, mask(n), v); }
  static F keep(F v, int n) { return _mm512_maskz_mov_ps(mask(n), v); }
  static F set1(float x) { return _mm512_set1_ps(x); }
  static F zero() { return _mm512_setzero_ps(); }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F div(F a, F b) { return _mm512_div_ps(a, b); }
  static F sqrt(F a) { return _mm512_sqrt_ps(a); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F fnma(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }
  static F min(F a, F b) { return _mm512_min_ps(a, b); }
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F abs(F a) { return _mm512_abs_ps(a); }
  static F floor(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
  static F round(F a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static I to_int(F a) { return _mm512_cvttps_epi32(a); }
  static F from_int(const std::int32_t* p) { return _mm512_cvtepi32_ps(_mm512_loadu_si512(p)); }
  static F load_half(const void* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
  }
  static F load_s8(const void* p) {
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))));
  }
  static float from_half(const void* p) {
    unsigned short bits;
    __builtin_memcpy(&bits, p, 2);
    return _cvtsh_ss(bits);
  }
  static std::uint16_t to_half(float x) { return _cvtss_sh(x, 0); }
  static int round_one(float x) { return _mm_cvtss_si32(_mm_set_ss(x)); }
  static F lookup16(const float* table, I index) {
    return _mm512_permutexvar_ps(index, _mm512_load_ps(table));
  }
  static F scale2(F p, F n) { return _mm512_scalef_ps(p, n); }
  static float reduce_add(F a) { return _mm512_reduce_add_ps(a); }
  static float reduce_max(F a) { return _mm512_reduce_max_ps(a); }

  // to[d][j] = scale * from[j][d], j < n, d < dim; columns [n, ldt) are zero. ldt is a multiple
  // of 16.
  static void transpose(const float* from, std::int64_t stride, std::int64_t n, std::int64_t dim,
                        float scale, float* to, std::int64_t ldt) {
    const F factor = set1(scale);
    for (std::int64_t j = 0; j < n; j += 16) {
      const std::int64_t rows = n - j < 16 ? n - j : 16;
      for (std::int64_t d = 0; d < dim; d += 16) {
        const int cols = dim - d < 16 ? static_cast<int>(dim - d) : 16;
        F r[16];
        for (int i = 0; i < 16; ++i)
          r[i] = i < rows ? mul(load_tail(from + (j + i) * stride + d, cols), factor) : zero();
        transpose16(r);
        for (int i = 0; i < cols; ++i) store(to + (d + i) * ldt + j, r[i]);
      }
    }
  }

  // r[i][j] and r[j][i] change places; the lanes may hold anything of 32 bits.
  static void transpose16(F (&r)[16]) {
    F t[16];
    for (int i = 0; i < 16; i += 2) {
      t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
      t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
      for (int h = 0; h < 2; ++h) {
        const __m512d a = _mm512_castps_pd(t[i + h]), b = _mm512_castps_pd(t[i + 2 + h]);
        r[i + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
        r[i + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
      }
    // r[4g + c] holds, in its 128-bit lane l, column 4l + c of rows 4g .. 4g + 3.
    for (int c = 0; c < 4; ++c) {
      const F lo = _mm512_shuffle_f32x4(r[c], r[4 + c], 0x88);
      const F hi = _mm512_shuffle_f32x4(r[c], r[4 + c], 0xdd);
      const F lo2 = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0x88);
      const F hi2 = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0xdd);
      t[c] = _mm512_shuffle_f32x4(lo, lo2, 0x88);
      t[8 + c] = _mm512_shuffle_f32x4(lo, lo2, 0xdd);
      t[4 + c] = _mm512_shuffle_f32x4(hi, hi2, 0x88);
      t[12 + c] = _mm512_shuffle_f32x4(hi, hi2, 0xdd);
    }
    for (int i = 0; i < 16; ++i) r[i] = t[i];
  }
};

}  // namespace tack::kernels::avx512
