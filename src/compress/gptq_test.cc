#include "compress/gptq.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "tensor/block_parts.h"
#include "tensor/blocks.h"
#include "tensor/convert.h"

namespace tack {
namespace {

constexpr DType kTypes[] = {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,   DType::kQ5_1,
                            DType::kQ8_0, DType::kQ2_K, DType::kQ3_K,   DType::kQ4_K,
                            DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS};

std::vector<float> normal_values(std::int64_t count, Random& random) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(random.normal());
  return values;
}

// Of rows that mix few sources, with columns of very different sizes; column 5 is always zero.
std::vector<float> correlated_hessian(std::int64_t in, Random& random) {
  const std::int64_t sources = in / 4, rows = 2 * in;
  const auto mix = normal_values(sources * in, random);
  std::vector<float> hessian(static_cast<std::size_t>(in * in)), row(static_cast<std::size_t>(in));
  std::vector<double> size(row.size());
  for (double& x : size) x = std::exp(random.normal());
  size[5] = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto source = normal_values(sources, random);
    for (std::int64_t c = 0; c < in; ++c) {
      double sum = 0.3 * random.normal();
      for (std::int64_t s = 0; s < sources; ++s)
        sum += static_cast<double>(source[static_cast<std::size_t>(s)]) *
               static_cast<double>(mix[static_cast<std::size_t>(s * in + c)]) /
               std::sqrt(static_cast<double>(sources));
      row[static_cast<std::size_t>(c)] =
          static_cast<float>(sum * size[static_cast<std::size_t>(c)]);
    }
    for (std::size_t i = 0; i < row.size(); ++i)
      for (std::size_t j = 0; j < row.size(); ++j)
        hessian[i * row.size() + j] += row[i] * row[j] / static_cast<float>(rows);
  }
  return hessian;
}

std::vector<float> read(DType dtype, std::span<const std::byte> blocks, std::size_t count) {
  std::vector<float> values(count);
  EXPECT_TRUE(to_f32(dtype, blocks, values));
  return values;
}

// Rounded to nearest, with scales searched for under the Hessian's diagonal.
std::vector<float> rounded(DType dtype, std::span<const float> weight, std::int64_t in,
                           std::span<const float> hessian) {
  std::vector<float> diagonal;
  for (std::int64_t k = 0; k < in; ++k)
    diagonal.push_back(hessian[static_cast<std::size_t>(k * in + k)]);
  const DTypeInfo& type = info(dtype);
  std::vector<std::byte> blocks(*storage_bytes(dtype, weight.size()));
  for (std::size_t at = 0; at < weight.size(); at += type.block_elements)
    weighted_block_writer(dtype)(weight.data() + at,
                                 diagonal.data() + at % static_cast<std::size_t>(in),
                                 blocks.data() + at / type.block_elements * type.block_bytes);
  return read(dtype, blocks, weight.size());
}

// The plain definition, in f64.
double error_of(std::span<const float> a, std::span<const float> b, std::int64_t in,
                std::span<const float> hessian) {
  const auto n = static_cast<std::size_t>(in);
  double sum = 0;
  for (std::size_t row = 0; row < a.size(); row += n)
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j)
        sum += (static_cast<double>(a[row + i]) - static_cast<double>(b[row + i])) *
               static_cast<double>(hessian[i * n + j]) *
               (static_cast<double>(a[row + j]) - static_cast<double>(b[row + j]));
  return sum;
}

TEST(Hessian, FactorTimesItsTransposeIsTheHessian) {
  Random random(1);
  ThreadPool pool(2);
  const std::int64_t in = 300;  // blocks of 128 and a rest
  const auto hessian = correlated_hessian(in, random);
  const auto factor = HessianFactor::make(hessian, in, 0.05, pool);
  ASSERT_TRUE(factor) << factor.error().message;
  double mean = 0;
  for (std::int64_t k = 0; k < in; ++k)
    mean += static_cast<double>(hessian[static_cast<std::size_t>(k * in + k)]) / in;
  for (std::int64_t i = 0; i < in; ++i)
    for (std::int64_t j = i; j < in; ++j) {
      double sum = 0;
      for (std::int64_t k = 0; k < in; ++k)
        sum += static_cast<double>(factor->ratios()[i * in + k]) *
               static_cast<double>(factor->ratios()[j * in + k]) *
               static_cast<double>(factor->conditional()[static_cast<std::size_t>(k)]);
      const double wanted = static_cast<double>(hessian[static_cast<std::size_t>(i * in + j)]) +
                            (i == j ? 0.05 * mean : 0);
      ASSERT_NEAR(sum, wanted, 1e-4 * mean) << i << ", " << j;
    }
}

TEST(Hessian, ErrorIsItsDefinition) {
  Random random(2);
  ThreadPool pool(2);
  const std::int64_t in = 96, out = 130;
  const auto hessian = correlated_hessian(in, random);
  const auto a = normal_values(out * in, random), b = normal_values(out * in, random);
  const double wanted = error_of(a, b, in, hessian);
  EXPECT_NEAR(hessian_error(a, b, out, in, hessian, pool), wanted, 1e-5 * wanted);
}

TEST(Hessian, WhatIsNoHessianIsRefused) {
  ThreadPool pool(1);
  const auto message = [&](std::vector<float> hessian) {
    const auto factor = HessianFactor::make(hessian, 2, 0.01, pool);
    return factor ? std::string() : factor.error().message;
  };
  EXPECT_EQ(message({1, 0, 0, 1}), "");
  EXPECT_TRUE(message({1, NAN, 0, 1}).contains("row 0, column 1 is nan"));
  EXPECT_TRUE(message({1, 0, 0, -1}).contains("column 1 has the negative square"));
  EXPECT_TRUE(message({0, 0, 0, 0}).contains("nothing but zeros"));
  EXPECT_TRUE(message({1, 2, 2, 1}).contains("not positive definite at column 0: raise the damp"));
}

TEST(Gptq, LeavesLessErrorThanRoundingToNearest) {
  Random random(3);
  ThreadPool pool(2);
  const std::int64_t in = 512, out = 24;
  const auto hessian = correlated_hessian(in, random);
  const auto weight = normal_values(out * in, random);
  for (const DType dtype : kTypes) {
    const auto blocks = gptq_quantize(dtype, weight, out, in, hessian, {}, pool);
    ASSERT_TRUE(blocks) << blocks.error().message;
    const double ours = error_of(weight, read(dtype, *blocks, weight.size()), in, hessian),
                 nearest = error_of(weight, rounded(dtype, weight, in, hessian), in, hessian);
    EXPECT_LT(ours, 0.4 * nearest) << info(dtype).name;
  }
}

// Without correlations nothing can be repaired.
TEST(Gptq, IsRoundingToNearestWhereColumnsAreIndependent) {
  Random random(4);
  ThreadPool pool(1);
  const std::int64_t in = 256, out = 8;
  std::vector<float> hessian(static_cast<std::size_t>(in * in));
  for (std::int64_t k = 0; k < in; ++k)
    hessian[static_cast<std::size_t>(k * in + k)] = static_cast<float>(std::exp(random.normal()));
  const auto weight = normal_values(out * in, random);
  for (const DType dtype : kTypes) {
    const auto blocks = gptq_quantize(dtype, weight, out, in, hessian, {.damping = 0}, pool);
    ASSERT_TRUE(blocks) << blocks.error().message;
    const double ours = error_of(weight, read(dtype, *blocks, weight.size()), in, hessian),
                 nearest = error_of(weight, rounded(dtype, weight, in, hessian), in, hessian);
    EXPECT_NEAR(ours, nearest, 1e-3 * nearest) << info(dtype).name;
  }
}

// Columns 0 and 1 read the same values. Column 0 loses 0.4, which column 1 takes on: 0.3 becomes
// 0.7 and rounds to 1. The other columns are whole numbers, so that the scale is 1.
TEST(Gptq, TheNextColumnRepairs) {
  ThreadPool pool(1);
  const std::int64_t in = 32;
  std::vector<float> weight(32), hessian(32 * 32);
  for (std::size_t k = 0; k < 32; ++k) {
    weight[k] = static_cast<float>(static_cast<int>(k % 16) - 8);
    hessian[k * 32 + k] = 1;
  }
  weight[0] = 0.4F;
  weight[1] = 0.3F;
  hessian[0 * 32 + 1] = hessian[1 * 32 + 0] = 1;
  const auto blocks = gptq_quantize(DType::kQ4_0, weight, 1, in, hessian, {.damping = 1e-4}, pool);
  ASSERT_TRUE(blocks) << blocks.error().message;
  const BlockParts parts = take_apart(DType::kQ4_0, blocks->data());
  EXPECT_NEAR(parts.scale, 1, 0.02);
  EXPECT_EQ(parts.code[0], 0);
  EXPECT_EQ(parts.code[1], 1);
  for (std::size_t k = 2; k < 32; ++k) EXPECT_EQ(parts.code[k], static_cast<int>(k % 16) - 8);
}

TEST(Gptq, AnyNumberOfThreadsWritesTheSameBytes) {
  Random random(5);
  const std::int64_t in = 512, out = 150;
  const auto hessian = correlated_hessian(in, random);
  const auto weight = normal_values(out * in, random);
  ThreadPool one(1), three(3);
  for (const DType dtype : {DType::kQ4_0, DType::kQ4_K}) {
    const auto a = gptq_quantize(dtype, weight, out, in, hessian, {}, one),
               b = gptq_quantize(dtype, weight, out, in, hessian, {}, three);
    ASSERT_TRUE(a && b);
    EXPECT_EQ(*a, *b);
  }
}

TEST(Gptq, WhatItCannotWriteIsRefused) {
  ThreadPool pool(1);
  std::vector<float> weight(64, 1.0F), hessian(32 * 32);
  for (std::size_t k = 0; k < 32; ++k) hessian[k * 33] = 1;
  const auto message = [&](DType dtype) {
    const auto blocks = gptq_quantize(dtype, weight, 2, 32, hessian, {}, pool);
    return blocks ? std::string() : blocks.error().message;
  };
  EXPECT_EQ(message(DType::kQ4_0), "");
  EXPECT_TRUE(message(DType::kF16).contains("does not write f16"));
  EXPECT_TRUE(message(DType::kQ4_K).contains("rows of 32 values are no whole number of q4_k"));
  weight[35] = NAN;
  EXPECT_TRUE(message(DType::kQ4_0).contains("row 1: value 3 is nan"));
}

}  // namespace
}  // namespace tack
