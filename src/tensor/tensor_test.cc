#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "tensor/convert.h"
#include "tensor/tensor_view.h"

namespace tack {
namespace {

TEST(DType, KnowsSizesAndRefusesPartialBlocks) {
  EXPECT_EQ(storage_bytes(DType::kQ8_0, 64), 68U);
  EXPECT_EQ(storage_bytes(DType::kQ6_K, 512), 420U);
  EXPECT_EQ(storage_bytes(DType::kQ8_0, 33), std::nullopt);
  EXPECT_EQ(storage_bytes(DType::kF64, 1ULL << 62), std::nullopt);
  EXPECT_EQ(find_dtype(4U), nullptr);
  EXPECT_EQ(find_dtype("bf16")->dtype, DType::kBF16);
  EXPECT_EQ(find_dtype("nope"), nullptr);
}

TEST(F16, EveryValueSurvivesTheRoundTrip) {
  for (std::uint32_t h = 0; h < 0x10000; ++h) {
    const float x = f16_to_f32(static_cast<std::uint16_t>(h));
    if (std::isnan(x)) {
      EXPECT_GT(h & 0x7fffU, 0x7c00U);
      EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(x))));
      continue;
    }
    _Float16 native;
    const auto bits = static_cast<std::uint16_t>(h);
    std::memcpy(&native, &bits, 2);
    ASSERT_EQ(x, static_cast<float>(native)) << h;
    ASSERT_EQ(f32_to_f16(x), h);
  }
}

TEST(F16, RoundsAsTheCompilerDoes) {
  Random random(1);
  for (int i = 0; i < 500000; ++i) {
    // All exponents around the range of f16, and all mantissas.
    const float x = static_cast<float>(
        std::ldexp(random.uniform() - 0.5, static_cast<int>(random.below(48)) - 28));
    const auto native = static_cast<_Float16>(x);
    std::uint16_t want;
    std::memcpy(&want, &native, 2);
    ASSERT_EQ(f32_to_f16(x), want) << x;
  }
  EXPECT_EQ(f32_to_f16(65519.0F), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0F), 0x7c00);
  EXPECT_EQ(f32_to_f16(-1e30F), 0xfc00);
}

TEST(BF16, RoundsToNearestEven) {
  EXPECT_EQ(f32_to_bf16(1.0F), 0x3f80);
  EXPECT_EQ(f32_to_bf16(__builtin_bit_cast(float, 0x3f808000U)), 0x3f80);  // tie, even below
  EXPECT_EQ(f32_to_bf16(__builtin_bit_cast(float, 0x3f818000U)), 0x3f82);  // tie, even above
  EXPECT_EQ(f32_to_bf16(__builtin_bit_cast(float, 0x3f808001U)), 0x3f81);
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(Q8_0, HandComputedBlock) {
  std::vector<float> x(32, 0.0F);
  x[0] = 127.0F, x[1] = -63.4F, x[31] = 2.5F;  // scale 1
  std::vector<std::byte> block(34);
  ASSERT_TRUE(from_f32(DType::kQ8_0, x, block));
  EXPECT_EQ(static_cast<int>(block[1]), 0x3c);  // f16 1.0, little-endian
  EXPECT_EQ(static_cast<std::int8_t>(block[2]), 127);
  EXPECT_EQ(static_cast<std::int8_t>(block[3]), -63);
  EXPECT_EQ(static_cast<std::int8_t>(block[33]), 3);  // half away from zero, as the reference
}

TEST(Q5_0, HandComputedBlock) {
  std::vector<std::byte> block(22, std::byte{0});
  block[1] = std::byte{0x40};  // scale 2.0
  block[2] = std::byte{1};     // high bit of value 0
  block[6] = std::byte{0x2f};  // low nibbles: value 0 = 15, value 16 = 2
  std::vector<float> x(32);
  ASSERT_TRUE(to_f32(DType::kQ5_0, block, x));
  EXPECT_EQ(x[0], 2.0F * (31 - 16));
  EXPECT_EQ(x[16], 2.0F * (2 - 16));
  EXPECT_EQ(x[1], -32.0F);
}

TEST(Blocks, ErrorIsWithinHalfAStep) {
  Random random(2);
  std::vector<float> x(320), y(320);
  for (float& v : x) v = static_cast<float>(random.normal());
  for (const auto& [type, steps] : {std::pair{DType::kQ8_0, 127.0F}, {DType::kQ5_0, 16.0F}}) {
    std::vector<std::byte> bytes(*storage_bytes(type, x.size()));
    ASSERT_TRUE(from_f32(type, x, bytes));
    ASSERT_TRUE(to_f32(type, bytes, y));
    for (std::size_t b = 0; b < x.size(); b += 32) {
      float most = 0.0F;
      for (std::size_t i = b; i < b + 32; ++i) most = std::max(most, std::fabs(x[i]));
      // Codes follow from the scale before it is rounded to f16. Q5_0's positive end lacks a step.
      const float allowed = most / steps * (type == DType::kQ5_0 ? 1.01F : 0.57F);
      for (std::size_t i = b; i < b + 32; ++i) EXPECT_NEAR(y[i], x[i], allowed);
    }
  }
}

TEST(Int8Rows, ShareOneScaleAndNeverClip) {
  Random random(3);
  std::vector<float> x(96), y(96);
  for (float& v : x) v = static_cast<float>(random.normal());
  std::vector<std::byte> row(3 * 34);
  quantize_row_int8(x, row);
  const float scale = shared_q8_0_scale(row);
  ASSERT_GT(scale, 0.0F);
  ASSERT_TRUE(to_f32(DType::kQ8_0, row, y));
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(y[i], x[i], scale * 0.5001F);
  row[34] = static_cast<std::byte>(static_cast<int>(row[34]) ^ 1);
  EXPECT_LT(shared_q8_0_scale(row), 0.0F);
}

TEST(Convert, RefusesTypesItDoesNotKnow) {
  std::vector<std::byte> bytes(82);
  std::vector<float> x(256);
  EXPECT_FALSE(to_f32(DType::kIQ2_S, bytes, x));
  EXPECT_FALSE(convertible(DType::kIQ2_S));
}

TEST(TensorView, RowsAndShapes) {
  std::vector<std::byte> bytes(24);
  const TensorView view{DType::kF32, {2, 3}, bytes};
  EXPECT_EQ(view.rows(), 2);
  EXPECT_EQ(view.cols(), 3);
  EXPECT_EQ(view.row(1).data(), bytes.data() + 12);
  EXPECT_EQ(to_string(view.shape), "[2, 3]");
  EXPECT_EQ(element_count({}), 1);
}

}  // namespace
}  // namespace tack
