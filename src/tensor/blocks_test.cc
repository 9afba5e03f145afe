// Every block type against references: tools/golden/blocks.py (reading), written_blocks.py.

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

std::vector<float> floats_from_hex(const std::string& text) {
  const auto bytes = from_hex(text);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

Json written_blocks() {
  std::ifstream file(std::string(TACK_SOURCE_DIR) + "/tests/golden/written_blocks.json");
  return file ? Json::parse(file) : Json();
}

std::vector<std::byte> written(DType dtype, std::span<const float> values) {
  std::vector<std::byte> bytes(*storage_bytes(dtype, values.size()));
  EXPECT_TRUE(from_f32(dtype, values, bytes));
  return bytes;
}

double squared_error(DType dtype, std::span<const std::byte> blocks,
                     std::span<const float> values) {
  std::vector<float> read(values.size());
  EXPECT_TRUE(to_f32(dtype, blocks, read));
  double sum = 0;
  for (std::size_t i = 0; i < read.size(); ++i) {
    const double off = static_cast<double>(read[i]) - static_cast<double>(values[i]);
    sum += off * off;
  }
  return sum;
}

TEST(WrittenBlocks, AreTheReferencesInEveryBit) {
  const Json golden = written_blocks()["plain"];
  const auto values = floats_from_hex(golden["values"]);
  ASSERT_EQ(golden["blocks"].size(), 5U);
  for (const auto& [name, expected] : golden["blocks"].items()) {
    SCOPED_TRACE(name);
    const DTypeInfo* type = find_dtype(name);
    ASSERT_NE(type, nullptr);
    const auto ours = written(type->dtype, values), wanted = from_hex(expected);
    ASSERT_EQ(ours.size(), wanted.size());
    for (std::size_t at = 0; at < ours.size(); at += type->block_bytes)
      EXPECT_EQ(std::memcmp(ours.data() + at, wanted.data() + at, type->block_bytes), 0)
          << "block " << at / type->block_bytes;
  }
}

// A block that is written again from what it is read as stays as it is, or close: no drift.
TEST(WrittenBlocks, WrittenAgainTheyHardlyChange) {
  Random random(5);
  std::vector<float> values(1024), once(1024), twice(1024);
  for (float& value : values) value = static_cast<float>(random.normal());
  for (std::uint32_t id = 0; id < 64; ++id) {
    const DTypeInfo* type = find_dtype(id);
    if (type == nullptr || block_writer(type->dtype) == nullptr) continue;
    const auto first = written(type->dtype, values);
    ASSERT_TRUE(to_f32(type->dtype, first, once));
    ASSERT_TRUE(to_f32(type->dtype, written(type->dtype, once), twice));
    EXPECT_LE(squared_error(type->dtype, written(type->dtype, once), once),
              0.5 * squared_error(type->dtype, first, values))
        << type->name;
  }
}

TEST(WrittenBlocks, WhatF16CannotHoldIsRefused) {
  for (std::uint32_t id = 0; id < 64; ++id) {
    const DTypeInfo* type = find_dtype(id);
    if (type == nullptr) continue;
    if (type->dtype != DType::kF16 && block_writer(type->dtype) == nullptr) continue;
    std::vector<float> values(256, 1.0F);
    std::vector<std::byte> bytes(*storage_bytes(type->dtype, 256));
    for (const float bad : {NAN, INFINITY, -INFINITY, 65505.0F, -1e30F}) {
      values[37] = bad;
      const Status status = from_f32(type->dtype, values, bytes);
      ASSERT_FALSE(status) << type->name << " " << bad;
      EXPECT_TRUE(status.error().message.contains("value 37")) << status.error().message;
    }
  }
}

TEST(WrittenBlocks, OthersAreRefused) {
  EXPECT_EQ(block_writer(DType::kIQ2_XXS), nullptr);
  EXPECT_EQ(weighted_block_writer(DType::kIQ2_XXS), nullptr);
  const std::vector<float> values(256);
  std::vector<std::byte> block(66);
  const Status status = from_f32(DType::kIQ2_XXS, values, block);
  ASSERT_FALSE(status);
  EXPECT_TRUE(status.error().message.contains("iq2_xxs cannot be written"))
      << status.error().message;
}

TEST(FittingTypes, AreThoseThatLlamaCppTakes) {
  EXPECT_EQ(fitting_dtype(DType::kQ2_K, 512), DType::kQ2_K);
  for (const DType wanted : {DType::kQ2_K, DType::kQ3_K, DType::kIQ4_XS})
    EXPECT_EQ(fitting_dtype(wanted, 384), DType::kIQ4_NL);
  EXPECT_EQ(fitting_dtype(DType::kQ4_K, 384), DType::kQ5_0);
  EXPECT_EQ(fitting_dtype(DType::kQ5_K, 384), DType::kQ5_1);
  EXPECT_EQ(fitting_dtype(DType::kQ6_K, 384), DType::kQ8_0);
  for (const DType wanted : {DType::kQ2_K, DType::kQ4_K, DType::kQ4_0})
    EXPECT_EQ(fitting_dtype(wanted, 100), DType::kF16);
}

}  // namespace
}  // namespace tack
