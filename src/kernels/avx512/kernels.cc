// AVX-512 with VNNI. Activations lie as u8 = value + 128, the form vpdpbusd takes on its left;
// every sum starts at -128 * (sum of the column's weights), which the packing put behind the panel.
// 6 rows x 64 columns keep 24 sums, 4 weight vectors and a broadcast in registers: 10 loads for 24
// products, so the loads hide behind the arithmetic even from L2.

#include "kernels/avx512/vec.h"
#include "kernels/simd/level.h"

namespace tack::kernels::avx512 {
namespace {

struct Micro {
  static constexpr int kRows = 6;
  static constexpr int kPanel = 64;

  static std::size_t row_bytes(std::int64_t k) {
    return (static_cast<std::size_t>(k) + 63) / 64 * 64;
  }
  // A panel: [k / 4][64][4] s8, then 64 s32 of compensation.
  static std::size_t panel_bytes(std::int64_t k) {
    return (static_cast<std::size_t>(k) + 3) / 4 * 256 + 256;
  }

  template <int R>
  static void sums_of(const std::byte* a, std::int64_t stride, const std::byte* panel,
                      std::int64_t k, std::int32_t* out) {
    // Few rows leave the multipliers waiting for their own sums: two sets, by parity of the step.
    constexpr int kSets = R <= 2 ? 2 : 1;
    const std::int64_t steps = (k + 3) / 4;
    __m512i sum[kSets][R][4];
    for (int v = 0; v < 4; ++v) {
      const __m512i start = _mm512_loadu_si512(panel + steps * 256 + v * 64);
      for (int r = 0; r < R; ++r) sum[0][r][v] = start;
    }
    for (int s = 1; s < kSets; ++s)
      for (int r = 0; r < R; ++r)
        for (int v = 0; v < 4; ++v) sum[s][r][v] = _mm512_setzero_si512();

    const auto step = [&](std::int64_t t, int set) __attribute__((always_inline)) {
      __m512i w[4];
      for (int v = 0; v < 4; ++v) w[v] = _mm512_loadu_si512(panel + t * 256 + v * 64);
      for (int r = 0; r < R; ++r) {
        std::int32_t four;
        __builtin_memcpy(&four, a + r * stride + t * 4, 4);
        const __m512i left = _mm512_set1_epi32(four);
        for (int v = 0; v < 4; ++v)
          sum[set][r][v] = _mm512_dpbusd_epi32(sum[set][r][v], left, w[v]);
      }
    };
    std::int64_t t = 0;
    for (; t + kSets <= steps; t += kSets)
      for (int s = 0; s < kSets; ++s) step(t + s, s);
    if (t < steps) step(t, 0);

    for (int r = 0; r < R; ++r)
      for (int v = 0; v < 4; ++v) {
        __m512i total = sum[0][r][v];
        for (int s = 1; s < kSets; ++s) total = _mm512_add_epi32(total, sum[s][r][v]);
        _mm512_storeu_si512(out + r * kPanel + v * 16, total);
      }
  }
};

struct Quantized {
  static std::size_t row_bytes(std::int64_t k) { return Micro::row_bytes(k); }
  static void store(std::byte* row, std::int64_t column, __m512 values) {
    const __m512i q = _mm512_add_epi32(_mm512_cvtps_epi32(values), _mm512_set1_epi32(128));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(row + column), _mm512_cvtepi32_epi8(q));
  }
  // The weights beyond k are zero: any value does.
  static void finish(std::byte* row, std::int64_t from, std::int64_t to) {
    if (to > from) __builtin_memset(row + from, 0, static_cast<std::size_t>(to - from));
  }
};

void pack(const std::int8_t* b, std::int64_t row0, std::int64_t rows, std::int64_t /*n*/,
          std::int64_t k, std::byte* packed) {
  const std::int64_t steps = (k + 3) / 4;
  for (std::int64_t p = 0; p < rows; p += Micro::kPanel) {
    std::byte* const panel =
        packed + static_cast<std::int64_t>(Micro::panel_bytes(k)) * ((row0 + p) / Micro::kPanel);
    __builtin_memset(panel, 0, Micro::panel_bytes(k));
    const std::int64_t columns = rows - p < Micro::kPanel ? rows - p : Micro::kPanel;
    for (std::int64_t j = 0; j < columns; ++j) {
      const std::int8_t* const row = b + (p + j) * k;
      std::int32_t sum = 0;
      for (std::int64_t i = 0; i < k; ++i) sum += row[i];
      for (std::int64_t t = 0; t < k / 4; ++t)
        __builtin_memcpy(panel + t * 256 + j * 4, row + t * 4, 4);
      if (k % 4 != 0)
        __builtin_memcpy(panel + k / 4 * 256 + j * 4, row + k / 4 * 4,
                         static_cast<std::size_t>(k % 4));
      const std::int32_t compensation = -128 * sum;
      __builtin_memcpy(panel + steps * 256 + j * 4, &compensation, 4);
    }
  }
}

}  // namespace

extern const Blocks kBlocks;
extern const Kernels kKernels;
const Kernels kKernels = simd::make_level<Vec, Micro, Quantized>(Isa::kAvx512, pack, &kBlocks);

}  // namespace tack::kernels::avx512
