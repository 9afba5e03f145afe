// AVX2. vpmaddubsw would saturate at the extremes, so both operands are s16 in the registers:
// activations lie as s16, weights as s8 and are widened on the way (vpmovsxbw), and vpmaddwd makes
// exact s32 pairs. 6 rows x 16 columns keep 12 sums, 2 weight vectors and a broadcast in registers.

#include "kernels/avx2/vec.h"
#include "kernels/simd/level.h"

namespace tack::kernels::avx2 {
namespace {

struct Micro {
  static constexpr int kRows = 6;
  static constexpr int kPanel = 16;

  static std::size_t row_bytes(std::int64_t k) {
    return (static_cast<std::size_t>(k) * 2 + 63) / 64 * 64;
  }
  // A panel: [k / 2][16][2] s8.
  static std::size_t panel_bytes(std::int64_t k) {
    return (static_cast<std::size_t>(k) + 1) / 2 * 32;
  }

  template <int R>
  static void sums_of(const std::byte* a, std::int64_t stride, const std::byte* panel,
                      std::int64_t k, std::int32_t* out) {
    constexpr int kSets = R <= 2 ? 2 : 1;  // few rows: two sets of sums hide their latency
    const std::int64_t steps = (k + 1) / 2;
    __m256i sum[kSets][R][2];
    for (int s = 0; s < kSets; ++s)
      for (int r = 0; r < R; ++r) sum[s][r][0] = sum[s][r][1] = _mm256_setzero_si256();
    const auto step = [&](std::int64_t t, int set) __attribute__((always_inline)) {
      const auto* const at = reinterpret_cast<const __m128i*>(panel + t * 32);
      const __m256i w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128(at));
      const __m256i w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128(at + 1));
      for (int r = 0; r < R; ++r) {
        std::int32_t two;
        __builtin_memcpy(&two, a + r * stride + t * 4, 4);
        const __m256i left = _mm256_set1_epi32(two);
        sum[set][r][0] = _mm256_add_epi32(sum[set][r][0], _mm256_madd_epi16(left, w0));
        sum[set][r][1] = _mm256_add_epi32(sum[set][r][1], _mm256_madd_epi16(left, w1));
      }
    };
    std::int64_t t = 0;
    for (; t + kSets <= steps; t += kSets)
      for (int s = 0; s < kSets; ++s) step(t + s, s);
    if (t < steps) step(t, 0);
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < 2; ++v) {
        __m256i total = sum[0][r][v];
        for (int s = 1; s < kSets; ++s) total = _mm256_add_epi32(total, sum[s][r][v]);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + r * kPanel + v * 8), total);
      }
  }
};

struct Quantized {
  static std::size_t row_bytes(std::int64_t k) { return Micro::row_bytes(k); }
  static void store(std::byte* row, std::int64_t column, __m256 values) {
    const __m256i q = _mm256_cvtps_epi32(values);
    const __m128i packed =
        _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(row + column * 2), packed);
  }
  static void finish(std::byte* row, std::int64_t from, std::int64_t to) {
    if (to > from * 2) __builtin_memset(row + from * 2, 0, static_cast<std::size_t>(to - from * 2));
  }
};

void pack(const std::int8_t* b, std::int64_t row0, std::int64_t rows, std::int64_t /*n*/,
          std::int64_t k, std::byte* packed) {
  for (std::int64_t p = 0; p < rows; p += Micro::kPanel) {
    std::byte* const panel =
        packed + static_cast<std::int64_t>(Micro::panel_bytes(k)) * ((row0 + p) / Micro::kPanel);
    __builtin_memset(panel, 0, Micro::panel_bytes(k));
    const std::int64_t columns = rows - p < Micro::kPanel ? rows - p : Micro::kPanel;
    for (std::int64_t j = 0; j < columns; ++j) {
      const std::int8_t* const row = b + (p + j) * k;
      for (std::int64_t t = 0; t < k / 2; ++t)
        __builtin_memcpy(panel + t * 32 + j * 2, row + t * 2, 2);
      if (k % 2 != 0) __builtin_memcpy(panel + k / 2 * 32 + j * 2, row + k - 1, 1);
    }
  }
}

}  // namespace

extern const Blocks kBlocks;
extern const Kernels kKernels;
const Kernels kKernels = simd::make_level<Vec, Micro, Quantized>(Isa::kAvx2, pack, &kBlocks);

}  // namespace tack::kernels::avx2
