// AArch64 NEON, without the dot-product extension. Products of s8 in [-127, 127] fit s16 in pairs
// (2 x 127 x 127 < 32768), so vmull + vmlal make pairs and vpadal adds them into s32, exactly.

#include "kernels/neon/vec.h"
#include "kernels/simd/level.h"

namespace tack::kernels::neon {
namespace {

struct Micro {
  static constexpr int kRows = 2;
  static constexpr int kPanel = 8;

  static std::size_t row_bytes(std::int64_t k) {
    return (static_cast<std::size_t>(k) + 63) / 64 * 64;
  }
  // A panel: [k / 16][8][16] s8.
  static std::size_t panel_bytes(std::int64_t k) {
    return (static_cast<std::size_t>(k) + 15) / 16 * 128;
  }

  template <int R>
  static void sums_of(const std::byte* a, std::int64_t stride, const std::byte* panel,
                      std::int64_t k, std::int32_t* out) {
    int32x4_t sum[R][kPanel];
    for (int r = 0; r < R; ++r)
      for (int j = 0; j < kPanel; ++j) sum[r][j] = vdupq_n_s32(0);
    for (std::int64_t t = 0; t < (k + 15) / 16; ++t)
      for (int r = 0; r < R; ++r) {
        const int8x16_t x = vld1q_s8(reinterpret_cast<const std::int8_t*>(a + r * stride + t * 16));
        for (int j = 0; j < kPanel; ++j) {
          const int8x16_t w =
              vld1q_s8(reinterpret_cast<const std::int8_t*>(panel + t * 128 + j * 16));
          const int16x8_t low = vmull_s8(vget_low_s8(x), vget_low_s8(w));
          sum[r][j] = vpadalq_s16(sum[r][j], vmlal_s8(low, vget_high_s8(x), vget_high_s8(w)));
        }
      }
    for (int r = 0; r < R; ++r)
      for (int j = 0; j < kPanel; ++j) out[r * kPanel + j] = vaddvq_s32(sum[r][j]);
  }
};

struct Quantized {
  static std::size_t row_bytes(std::int64_t k) { return Micro::row_bytes(k); }
  static void store(std::byte* row, std::int64_t column, float32x4_t values) {
    std::int32_t lanes[4];
    vst1q_s32(lanes, vcvtnq_s32_f32(values));
    for (int i = 0; i < 4; ++i)
      row[column + i] = static_cast<std::byte>(static_cast<std::int8_t>(lanes[i]));
  }
  static void finish(std::byte* row, std::int64_t from, std::int64_t to) {
    if (to > from) __builtin_memset(row + from, 0, static_cast<std::size_t>(to - from));
  }
};

void pack(const std::int8_t* b, std::int64_t row0, std::int64_t rows, std::int64_t /*n*/,
          std::int64_t k, std::byte* packed) {
  for (std::int64_t p = 0; p < rows; p += Micro::kPanel) {
    std::byte* const panel =
        packed + static_cast<std::int64_t>(Micro::panel_bytes(k)) * ((row0 + p) / Micro::kPanel);
    __builtin_memset(panel, 0, Micro::panel_bytes(k));
    for (std::int64_t j = 0; j < Micro::kPanel && p + j < rows; ++j)
      for (std::int64_t t = 0; t < k; t += 16)
        __builtin_memcpy(panel + t / 16 * 128 + j * 16, b + (p + j) * k + t,
                         static_cast<std::size_t>(k - t < 16 ? k - t : 16));
  }
}

}  // namespace

extern const Blocks kBlocks;
extern const Kernels kKernels;
const Kernels kKernels = simd::make_level<Vec, Micro, Quantized>(Isa::kNeon, pack, &kBlocks);

}  // namespace tack::kernels::neon
