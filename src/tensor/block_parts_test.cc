#include "tensor/block_parts.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "tensor/blocks.h"
#include "tensor/convert.h"
#include "tensor/store_f16.h"

namespace tack {
namespace {

constexpr DType kTypes[] = {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,   DType::kQ5_1,
                            DType::kQ8_0, DType::kQ2_K, DType::kQ3_K,   DType::kQ4_K,
                            DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS};

// Where the f16 of a block lie (ggml-common.h); -1: no second one.
struct Halves {
  int scale, offset;
};
Halves halves_of(DType dtype) {
  switch (dtype) {
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {0, 2};
    case DType::kQ2_K:
      return {80, 82};
    case DType::kQ3_K:
      return {108, -1};
    case DType::kQ6_K:
      return {208, -1};
    default:
      return {0, -1};
  }
}

// Any codes, with finite scales.
std::vector<std::byte> random_block(DType dtype, Random& random) {
  std::vector<std::byte> block(info(dtype).block_bytes);
  for (std::byte& byte : block) byte = static_cast<std::byte>(random.below(256));
  const Halves at = halves_of(dtype);
  store_f16(block.data() + at.scale, static_cast<float>(random.normal()) * 0.01F);
  if (at.offset >= 0)
    store_f16(block.data() + at.offset, static_cast<float>(random.normal()) * 0.02F);
  return block;
}

std::vector<std::byte> written_block(DType dtype, Random& random) {
  std::vector<float> values(info(dtype).block_elements);
  for (float& value : values) value = static_cast<float>(random.normal());
  std::vector<std::byte> block(info(dtype).block_bytes);
  EXPECT_TRUE(from_f32(dtype, values, block));
  return block;
}

void expect_parts_of(DType dtype, const std::vector<std::byte>& block) {
  const BlockParts parts = take_apart(dtype, block.data());
  ASSERT_EQ(parts.values, static_cast<int>(info(dtype).block_elements));
  ASSERT_EQ(parts.values % parts.group, 0);

  std::vector<float> read(info(dtype).block_elements);
  ASSERT_TRUE(to_f32(dtype, block, read));
  const auto levels = block_levels(dtype);
  for (int i = 0; i < parts.values; ++i) {
    const int g = i / parts.group;
    const double by = static_cast<double>(parts.scale) * parts.scale_code[g] * parts.code[i],
                 plus = static_cast<double>(parts.offset) * parts.offset_code[g];
    ASSERT_NEAR(read[static_cast<std::size_t>(i)], by + plus,
                3e-7 * (std::fabs(by) + std::fabs(plus)))
        << "value " << i;
    if (!(dtype == DType::kQ8_0 && parts.code[i] == -128)) {
      ASSERT_TRUE(std::ranges::binary_search(levels, parts.code[i])) << int{parts.code[i]};
    }
  }

  std::vector<std::byte> again(block.size(), std::byte{0xff});
  put_together(dtype, parts, again.data());
  ASSERT_EQ(std::memcmp(again.data(), block.data(), block.size()), 0);
}

TEST(BlockParts, AreTheValuesThatAreReadAndGoTogetherAgain) {
  Random random(11);
  for (const DType dtype : kTypes) {
    SCOPED_TRACE(info(dtype).name);
    ASSERT_TRUE(has_parts(dtype));
    for (int round = 0; round < 50; ++round) {
      expect_parts_of(dtype, random_block(dtype, random));
      if (block_writer(dtype) != nullptr) expect_parts_of(dtype, written_block(dtype, random));
      if (HasFatalFailure()) return;
    }
  }
}

TEST(BlockParts, LevelsAreAscending) {
  const auto count = [](DType dtype) { return block_levels(dtype).size(); };
  EXPECT_EQ(count(DType::kQ2_K), 4U);
  EXPECT_EQ(count(DType::kQ3_K), 8U);
  EXPECT_EQ(count(DType::kQ6_K), 64U);
  EXPECT_EQ(count(DType::kIQ4_XS), 16U);
  EXPECT_EQ(count(DType::kQ8_0), 255U);
  EXPECT_EQ(block_levels(DType::kQ4_0).front(), -8);
  EXPECT_EQ(block_levels(DType::kQ5_1).back(), 31);
  for (const DType dtype : kTypes) EXPECT_TRUE(std::ranges::is_sorted(block_levels(dtype)));
}

TEST(BlockParts, OthersHaveNone) {
  for (const DType dtype : {DType::kF32, DType::kQ8_1, DType::kIQ2_XXS}) {
    EXPECT_FALSE(has_parts(dtype));
    EXPECT_TRUE(block_levels(dtype).empty());
  }
}

}  // namespace
}  // namespace tack
