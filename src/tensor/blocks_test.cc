// Every block type against the reference's reading of random blocks: tools/golden/blocks.py.

#include "tensor/blocks.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <vector>

#include <gtest/gtest.h>

#include "base/json.h"
#include "base/random.h"
#include "tensor/convert.h"

namespace tack {
namespace {

std::vector<std::byte> from_hex(const std::string& text) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < text.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoi(text.substr(i, 2), nullptr, 16)));
  return bytes;
}

TEST(Blocks, AreReadAsByTheReference) {
  std::ifstream file(std::string(TACK_SOURCE_DIR) + "/tests/golden/blocks.json");
  ASSERT_TRUE(file);
  const Json golden = Json::parse(file);
  ASSERT_EQ(golden.size(), 12U);
  for (const auto& [name, expected] : golden.items()) {
    SCOPED_TRACE(name);
    const DTypeInfo* type = find_dtype(name);
    ASSERT_NE(type, nullptr);
    EXPECT_TRUE(convertible(type->dtype));
    const auto blocks = from_hex(expected["blocks"]), bits = from_hex(expected["values"]);
    ASSERT_EQ(blocks.size() % type->block_bytes, 0U);
    std::vector<float> values(blocks.size() / type->block_bytes * type->block_elements);
    ASSERT_EQ(values.size() * sizeof(float), bits.size());
    ASSERT_TRUE(to_f32(type->dtype, blocks, values));
    EXPECT_EQ(std::memcmp(values.data(), bits.data(), bits.size()), 0);
  }
}

// Any bytes are some values; with finite scales they are finite.
TEST(Blocks, AnyBytesAreRead) {
  Random random(3);
  for (std::uint32_t id = 0; id < 64; ++id) {
    const DTypeInfo* type = find_dtype(id);
    if (type == nullptr || block_reader(type->dtype) == nullptr) continue;
    std::vector<std::byte> block(type->block_bytes);
    std::vector<float> values(type->block_elements);
    for (int round = 0; round < 100; ++round) {
      // No byte of 0x7c or more in its lower bits: no f16 that is not finite.
      for (std::byte& byte : block) byte = static_cast<std::byte>(random.below(0x7c));
      block_reader(type->dtype)(block.data(), values.data());
      for (const float value : values) ASSERT_TRUE(std::isfinite(value)) << type->name;
    }
  }
}

TEST(Blocks, OthersAreRefused) {
  EXPECT_EQ(block_reader(DType::kIQ2_XXS), nullptr);
  EXPECT_FALSE(convertible(DType::kIQ2_XXS));
  std::vector<float> values(256);
  const std::vector<std::byte> block(66);
  const Status status = to_f32(DType::kIQ2_XXS, block, values);
  ASSERT_FALSE(status);
  EXPECT_TRUE(status.error().message.contains("iq2_xxs"));
}

}  // namespace
}  // namespace tack
