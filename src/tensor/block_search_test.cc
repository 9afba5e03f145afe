// The searches against ggml's (tools/golden/written_blocks.py), against the plain writers, and
// against scales that are scanned.

#include "tensor/block_search.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <vector>

#include <gtest/gtest.h>

#include "base/json.h"
#include "base/random.h"
#include "tensor/blocks.h"
#include "tensor/convert.h"

namespace tack {
namespace {

constexpr DType kTypes[] = {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,   DType::kQ5_1,
                            DType::kQ8_0, DType::kQ2_K, DType::kQ3_K,   DType::kQ4_K,
                            DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS};

std::vector<std::byte> bytes_from_hex(const std::string& text) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < text.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoi(text.substr(i, 2), nullptr, 16)));
  return bytes;
}
std::vector<float> floats_from_hex(const std::string& text) {
  const auto bytes = bytes_from_hex(text);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}
Json golden(const char* name) {
  std::ifstream file(std::string(TACK_SOURCE_DIR) + "/tests/golden/written_blocks.json");
  return file ? Json::parse(file)[name] : Json();
}

// Of rows of 256 values with the importance [256] of their columns; empty: ones.
std::vector<std::byte> written(DType dtype, std::span<const float> values,
                               std::span<const float> importance) {
  const DTypeInfo& type = info(dtype);
  std::vector<std::byte> bytes(*storage_bytes(dtype, values.size()));
  for (std::size_t at = 0; at < values.size(); at += type.block_elements)
    weighted_block_writer(dtype)(values.data() + at,
                                 importance.empty() ? nullptr : importance.data() + at % 256,
                                 bytes.data() + at / type.block_elements * type.block_bytes);
  return bytes;
}

double error_of(DType dtype, std::span<const std::byte> blocks, std::span<const float> values,
                std::span<const float> importance) {
  std::vector<float> read(values.size());
  EXPECT_TRUE(to_f32(dtype, blocks, read));
  double sum = 0;
  for (std::size_t i = 0; i < read.size(); ++i) {
    const double off = static_cast<double>(read[i]) - static_cast<double>(values[i]);
    sum += off * off * (importance.empty() ? 1 : static_cast<double>(importance[i % 256]));
  }
  return sum;
}

std::vector<float> normal_values(std::size_t count, Random& random) {
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random.normal());
  return values;
}
std::vector<float> uneven_importance(std::size_t count, Random& random) {
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(std::exp(1.5 * random.normal()));
  return values;
}

// The reference searches too, by other steps: a row may come out a little worse, all together not.
void expect_less_error_than(const Json& blocks, std::span<const float> values,
                            std::span<const float> importance) {
  for (const auto& [name, expected] : blocks.items()) {
    const DTypeInfo* type = find_dtype(name);
    ASSERT_NE(type, nullptr);
    const DType dtype = type->dtype;
    const auto ours = written(dtype, values, importance), theirs = bytes_from_hex(expected);
    ASSERT_EQ(ours.size(), theirs.size());
    EXPECT_LT(error_of(dtype, ours, values, importance),
              error_of(dtype, theirs, values, importance))
        << name;
    for (std::size_t row = 0; row < values.size() / 256; ++row) {
      const std::size_t bytes = *storage_bytes(dtype, 256);
      const auto error = [&](const std::vector<std::byte>& all) {
        return error_of(dtype, std::span(all).subspan(row * bytes, bytes),
                        values.subspan(row * 256, 256), importance);
      };
      EXPECT_LT(error(ours), 1.1 * error(theirs)) << name << ", row " << row;
    }
  }
}

TEST(BlockSearch, LeavesLessErrorThanTheReference) {
  const Json expected = golden("searched");
  ASSERT_EQ(expected["blocks"].size(), 7U);
  expect_less_error_than(expected["blocks"], floats_from_hex(expected["values"]), {});
}

TEST(BlockSearch, LeavesLessWeightedErrorThanTheReference) {
  const Json expected = golden("weighted");
  ASSERT_EQ(expected["blocks"].size(), 11U);
  expect_less_error_than(expected["blocks"], floats_from_hex(expected["values"]),
                         floats_from_hex(expected["importance"]));
}

TEST(BlockSearch, IsNowhereWorseThanRoundingToNearest) {
  Random random(2);
  const auto values = normal_values(256, random);
  for (const DType dtype : {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0}) {
    const DTypeInfo& type = info(dtype);
    for (std::size_t at = 0; at < values.size(); at += 32) {
      const auto block = std::span(values).subspan(at, 32);
      std::vector<std::byte> plain(type.block_bytes);
      block_writer(dtype)(block.data(), plain.data());
      EXPECT_LE(error_of(dtype, written(dtype, block, {}), block, {}),
                (1 + 1e-6) * error_of(dtype, plain, block, {}))
          << type.name << " at " << at;
    }
  }
}

// Q4_0 with every scale of a fine scan, codes to nearest.
TEST(BlockSearch, IsCloseToTheBestScale) {
  Random random(3);
  double ours = 0, scanned = 0;
  for (int round = 0; round < 20; ++round) {
    const auto x = normal_values(32, random);
    const auto importance = uneven_importance(256, random);
    ours += error_of(DType::kQ4_0, written(DType::kQ4_0, x, importance), x, importance);
    double best = 1e30;
    for (double scale = -0.6; scale < 0.6; scale += 0.0002) {
      double error = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double value = static_cast<double>(x[i]),
                     code = std::clamp(std::round(value / scale), -8.0, 7.0);
        error += static_cast<double>(importance[i]) * std::pow(value - scale * code, 2);
      }
      best = std::min(best, error);
    }
    scanned += best;
  }
  EXPECT_LT(ours, 1.01 * scanned);
}

// What a search could stumble over: nothing to fit, nothing but an outlier, values so small that
// f16 has no scale for them, the largest.
std::vector<std::vector<float>> hard_rows() {
  std::vector<std::vector<float>> rows(10, std::vector<float>(256, 0.0F));
  rows[1].assign(256, 3.5F);
  rows[2].assign(256, -3.5F);
  rows[3][100] = 1.0F;
  rows[4].assign(256, 1e-40F);
  for (std::size_t i = 0; i < 256; ++i) {
    rows[5][i] = i % 2 == 0 ? kBlockLimit : -kBlockLimit;
    rows[6][i] = static_cast<float>(i % 7) * 1e-8F;
    rows[7][i] = i < 32 ? 60000.0F : 1e-6F * static_cast<float>(i);
    rows[8][i] = -0.0F;
    rows[9][i] = i < 128 ? -1.0F : 1.0F;
  }
  return rows;
}

TEST(BlockSearch, TakesAnyFiniteValues) {
  const auto rows = hard_rows();
  for (const DType dtype : kTypes)
    for (std::size_t r = 0; r < rows.size(); ++r) {
      float largest = 0;
      for (const float value : rows[r]) largest = std::max(largest, std::fabs(value));
      // The coarsest step of the type, from the largest value to its opposite; no step is wider
      // than the largest value. Scales below half of 6e-8 are zero in f16.
      const auto levels = static_cast<double>(block_levels(dtype).size() - 1);
      const double coarsest = dtype == DType::kIQ4_NL || dtype == DType::kIQ4_XS
                                  ? static_cast<double>(largest) / 5
                                  : 2 * static_cast<double>(largest) / levels;
      const double step = std::max(std::min(coarsest, static_cast<double>(largest)), 1e-7);
      EXPECT_LE(error_of(dtype, written(dtype, rows[r], {}), rows[r], {}), 256 * step * step / 4)
          << info(dtype).name << ", row " << r;
    }
}

TEST(BlockSearch, TakesAnyImportance) {
  Random random(4);
  const auto values = normal_values(256, random);
  const std::vector<float> zeros(256, 0.0F), ones(256, 1.0F), huge(256, 3e38F), tiny(256, 1e-38F);
  auto few = zeros;
  few[7] = 1e30F;
  for (const DType dtype : kTypes) {
    SCOPED_TRACE(info(dtype).name);
    const auto plain = written(dtype, values, {});
    for (const auto* same : {&zeros, &ones, &huge, &tiny})
      EXPECT_EQ(written(dtype, values, *same), plain);
    // Only one value counts: it is hit as closely as f16 can.
    const auto blocks = written(dtype, values, few);
    std::vector<float> read(256);
    ASSERT_TRUE(to_f32(dtype, blocks, read));
    EXPECT_NEAR(read[7], values[7], 0.02);
    for (const float value : read) EXPECT_LT(std::fabs(value), 100);
  }
}

// Columns that count more are stored more closely, and better than by a search that does not know.
TEST(BlockSearch, FollowsTheImportance) {
  Random random(6);
  const auto values = normal_values(4096, random);
  const auto importance = uneven_importance(256, random);
  for (const DType dtype : kTypes) {
    const double knowing = error_of(dtype, written(dtype, values, importance), values, importance),
                 plain = error_of(dtype, written(dtype, values, {}), values, importance);
    EXPECT_LT(knowing, 0.9 * plain) << info(dtype).name;
  }
}

double error_of_group(const BlockParts& parts, int g, std::span<const float> x, DType dtype) {
  const CodeRounder rounder(dtype);
  const double scale = static_cast<double>(parts.scale) * parts.scale_code[g],
               offset = static_cast<double>(parts.offset) * parts.offset_code[g];
  double sum = 0;
  for (const float value : x) {
    const double from = static_cast<double>(value) - offset;
    const auto scaled = static_cast<float>(scale == 0 ? 0 : from / scale);
    sum += std::pow(from - scale * rounder.nearest(scaled), 2);
  }
  return sum;
}

TEST(BlockSearch, RefitsOneGroup) {
  Random random(7);
  auto values = normal_values(256, random);
  for (const DType dtype : kTypes) {
    if (info(dtype).block_elements == 32) continue;
    const BlockParts before = fit_block(dtype, values.data(), nullptr);
    BlockParts after = before;
    std::vector<float> x(values.begin() + before.group, values.begin() + 2 * before.group);
    for (float& value : x) value *= 0.6F;
    refit_group(dtype, x.data(), nullptr, 1, after);
    EXPECT_LT(error_of_group(after, 1, x, dtype), error_of_group(before, 1, x, dtype))
        << info(dtype).name;
    EXPECT_EQ(after.scale, before.scale);
    EXPECT_EQ(after.scale_code[0], before.scale_code[0]);
    EXPECT_TRUE(std::ranges::equal(after.code, before.code));
  }
}

TEST(CodeRounder, GivesTheNearestLevel) {
  Random random(8);
  for (const DType dtype : kTypes) {
    const CodeRounder rounder(dtype);
    for (int round = 0; round < 1000; ++round) {
      const auto scaled = static_cast<float>(random.normal() * 60);
      double nearest = 1e30;
      for (const std::int8_t level : block_levels(dtype))
        nearest = std::min(nearest, std::fabs(static_cast<double>(scaled) - level));
      EXPECT_EQ(std::fabs(static_cast<double>(scaled) - rounder.nearest(scaled)), nearest);
    }
  }
}

}  // namespace
}  // namespace tack
