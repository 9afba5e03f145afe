// Products with block-quantised weights: against f64 arithmetic on the weights as tensor/ reads
// them, and every level against the scalar one, bit by bit.

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "base/aligned_buffer.h"
#include "kernels/kernels.h"
#include "kernels/random_blocks.h"
#include "kernels/test_levels.h"

namespace tack::kernels {
namespace {

constexpr DType kTypes[] = {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,   DType::kQ5_1,
                            DType::kQ8_0, DType::kQ2_K, DType::kQ3_K,   DType::kQ4_K,
                            DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS};

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

AlignedBuffer quantize(const Kernels& k, const std::vector<float>& x, std::int64_t m,
                       std::int64_t cols) {
  AlignedBuffer rows(at(m) * block_row_bytes(cols));
  k.blocks->quantize(x.data(), cols, m, cols, rows.data());
  return rows;
}

struct Case {
  std::int64_t m, n, k;
};

std::vector<float> product(const Kernels& k, const AlignedBuffer& a, DType type,
                           const std::vector<std::byte>& b, const float* bias, Case shape,
                           std::int64_t row = 0) {
  AlignedBuffer scratch(kBlockScratchBytes);
  std::vector<float> c(at(shape.m * shape.n), -1.0F);
  k.blocks->multiply({.m = shape.m,
                      .n = shape.n,
                      .k = shape.k,
                      .a = a.data() + at(row) * block_row_bytes(shape.k),
                      .type = type,
                      .b = b.data(),
                      .bias = bias,
                      .c = c.data(),
                      .ldc = shape.n,
                      .scratch = scratch.data()});
  return c;
}

// What quantised activations stand for.
double activation(const AlignedBuffer& a, std::int64_t row, std::int64_t i, std::int64_t k) {
  const std::byte* const from = a.data() + at(row) * block_row_bytes(k);
  const auto* const blocks = reinterpret_cast<const ActivationBlock*>(from + k);
  return static_cast<double>(blocks[i / 32].scale) * static_cast<std::int8_t>(from[i]);
}

std::vector<float> normals(Random& random, std::int64_t n) {
  std::vector<float> v(at(n));
  for (float& x : v) x = static_cast<float>(random.normal());
  return v;
}

std::vector<std::byte> random_weights(Random& random, DType type, std::int64_t n, std::int64_t k) {
  std::vector<std::byte> b(*storage_bytes(type, static_cast<std::uint64_t>(n * k)));
  fill_random_blocks(random, type, 1.0, b);
  return b;
}

void expect_product(const std::vector<float>& c, const AlignedBuffer& a, DType type,
                    const std::vector<std::byte>& b, const float* bias, Case shape) {
  std::vector<float> w(at(shape.n * shape.k));
  ASSERT_TRUE(to_f32(type, b, w));
  for (std::int64_t i = 0; i < shape.m; ++i)
    for (std::int64_t j = 0; j < shape.n; ++j) {
      double sum = bias == nullptr ? 0.0 : static_cast<double>(bias[j]), size = std::abs(sum);
      for (std::int64_t e = 0; e < shape.k; ++e) {
        const double term =
            activation(a, i, e, shape.k) * static_cast<double>(w[at(j * shape.k + e)]);
        sum += term;
        size += std::abs(term);
      }
      ASSERT_NEAR(c[at(i * shape.n + j)], sum, 2e-6 * size + 1e-30)
          << info(type).name << " m " << shape.m << " n " << shape.n << " k " << shape.k;
    }
}

TEST(Blocks, ProductsAreThoseOfTheValuesOnEveryLevelAndShape) {
  Random random(1);
  for (const DType type : kTypes) {
    ASSERT_TRUE(has_block_product(type));
    const std::int64_t unit = info(type).block_elements;
    for (std::int64_t m : {1, 2, 3, 4, 5, 7, 12})
      for (std::int64_t n : {1, 7, 8, 31, 33, 50})
        for (std::int64_t k : {unit, 3 * unit, std::int64_t{768}}) {
          const Case shape{m, n, k};
          const auto x = normals(random, m * k), bias = normals(random, n);
          const auto b = random_weights(random, type, n, k);
          const float* const with = random.below(2) == 0 ? nullptr : bias.data();
          const Kernels& scalar = *levels().front();
          const auto a = quantize(scalar, x, m, k);
          const auto want = product(scalar, a, type, b, with, shape);
          expect_product(want, a, type, b, with, shape);
          for (const Kernels* level : levels()) {
            const auto again = quantize(*level, x, m, k);
            for (std::int64_t i = 0; i < m; ++i) {
              const auto offset = at(i) * block_row_bytes(k);
              ASSERT_EQ(std::memcmp(a.data() + offset, again.data() + offset, at(k + k / 2)), 0);
            }
            ASSERT_EQ(product(*level, a, type, b, with, shape), want)
                << isa_name(level->isa) << " " << info(type).name << " " << m << " " << n << " "
                << k;
          }
        }
  }
  EXPECT_FALSE(has_block_product(DType::kF16));
  EXPECT_FALSE(has_block_product(DType::kIQ2_XXS));
}

// A row alone and among others, a column alone and among others.
TEST(Blocks, ProductsDoNotDependOnWhatIsBeside) {
  Random random(2);
  const Case shape{37, 70, 1024};
  for (const DType type : kTypes) {
    const auto x = normals(random, shape.m * shape.k);
    const auto b = random_weights(random, type, shape.n, shape.k);
    for (const Kernels* level : levels()) {
      const auto a = quantize(*level, x, shape.m, shape.k);
      const auto all = product(*level, a, type, b, nullptr, shape);
      for (const std::int64_t rows : {1, 2, 5})
        for (const std::int64_t row : {0, 9, 30}) {
          const auto some = product(*level, a, type, b, nullptr, {rows, shape.n, shape.k}, row);
          ASSERT_TRUE(std::equal(some.begin(), some.end(), all.begin() + row * shape.n));
        }
      const auto row_bytes = static_cast<std::ptrdiff_t>(b.size()) / shape.n;
      const std::vector<std::byte> one(b.begin() + 41 * row_bytes, b.begin() + 42 * row_bytes);
      const auto column = product(*level, a, type, one, nullptr, {shape.m, 1, shape.k});
      for (std::int64_t i = 0; i < shape.m; ++i)
        ASSERT_EQ(column[at(i)], all[at(i * shape.n + 41)]);
    }
  }
}

// Largest codes everywhere: no sum in between may overflow.
TEST(Blocks, ProductsAreExactAtTheExtremes) {
  for (const DType type : kTypes)
    for (const int fill : {0x00, 0xff, 0x7f, 0x80, 0x0f, 0xf0})
      for (const float sign : {1.0F, -1.0F}) {
        const Case shape{6, 9, 512};
        std::vector<std::byte> b(
            *storage_bytes(type, static_cast<std::uint64_t>(shape.n * shape.k)),
            static_cast<std::byte>(fill));
        const std::uint16_t one = f32_to_f16(1.0F);
        for (std::size_t i = 0; i < b.size(); i += info(type).block_bytes)
          for (const std::size_t half : halves_of_block(type).at)
            std::memcpy(b.data() + i + half, &one, sizeof one);
        std::vector<float> x(at(shape.m * shape.k), 127.0F * sign);
        for (std::size_t i = 0; i < x.size(); i += 3) x[i] *= i / 512 < 3 ? 1.0F : -1.0F;
        for (const Kernels* level : levels()) {
          const auto a = quantize(*level, x, shape.m, shape.k);
          expect_product(product(*level, a, type, b, nullptr, shape), a, type, b, nullptr, shape);
        }
      }
}

// Activations with four channels a hundred times and one token a thousand times as large: the error
// is no larger than with the activations of llama.cpp, s8 with an f16 scale for 32 values, or for K
// types with an f32 scale for 256.
TEST(Blocks, OutliersCostNoMoreThanElsewhere) {
  Random random(4);
  const Case shape{16, 64, 2048};
  auto x = normals(random, shape.m * shape.k);
  for (const std::int64_t channel : {3, 700, 701, 1999})
    for (std::int64_t i = 0; i < shape.m; ++i) x[at(i * shape.k + channel)] *= 100.0F;
  for (std::int64_t e = 0; e < shape.k; ++e) x[at(5 * shape.k + e)] *= 1000.0F;
  for (const DType type : {DType::kQ4_0, DType::kQ8_0, DType::kQ4_K, DType::kQ6_K}) {
    const auto b = random_weights(random, type, shape.n, shape.k);
    std::vector<float> w(at(shape.n * shape.k));
    ASSERT_TRUE(to_f32(type, b, w));
    const bool wide = info(type).block_elements == 256;
    const std::int64_t block = wide ? 256 : 32;
    std::vector<double> theirs(x.size());
    for (std::size_t i = 0; i < x.size(); i += at(block)) {
      float most = 0;
      for (std::size_t e = i; e < i + at(block); ++e) most = std::max(most, std::abs(x[e]));
      const float scale = wide ? most / 127 : f16_to_f32(f32_to_f16(most / 127));
      for (std::size_t e = i; e < i + at(block); ++e)
        theirs[e] =
            static_cast<double>(scale) * std::nearbyint(static_cast<double>(x[e] / (most / 127)));
    }
    const Kernels& level = *levels().back();
    const auto c = product(level, quantize(level, x, shape.m, shape.k), type, b, nullptr, shape);
    // Relative to each row, so that the large one is not all.
    double our_error = 0, their_error = 0;
    for (std::int64_t i = 0; i < shape.m; ++i) {
      double ours = 0, other = 0, size = 0;
      for (std::int64_t j = 0; j < shape.n; ++j) {
        double exact = 0, their = 0;
        for (std::int64_t e = 0; e < shape.k; ++e) {
          exact += static_cast<double>(x[at(i * shape.k + e)]) *
                   static_cast<double>(w[at(j * shape.k + e)]);
          their += theirs[at(i * shape.k + e)] * static_cast<double>(w[at(j * shape.k + e)]);
        }
        ours += std::pow(static_cast<double>(c[at(i * shape.n + j)]) - exact, 2);
        other += std::pow(their - exact, 2);
        size += exact * exact;
      }
      our_error += ours / size;
      their_error += other / size;
    }
    EXPECT_LT(our_error, 1.03 * their_error) << info(type).name;
    if (wide) {
      EXPECT_LT(our_error, 0.6 * their_error) << info(type).name;
    }
  }
}

TEST(Blocks, ActivationsThatAreNotNumbersStaySo) {
  Random random(3);
  const std::int64_t k = 96;
  auto x = normals(random, 3 * k);
  x[5] = std::numeric_limits<float>::infinity();
  x[at(k) + 40] = std::numeric_limits<float>::quiet_NaN();
  for (std::size_t i = at(2 * k); i < x.size(); ++i) x[i] = 0.0F;
  const auto b = random_weights(random, DType::kQ4_1, 9, k);
  for (const Kernels* level : levels()) {
    const auto c = product(*level, quantize(*level, x, 3, k), DType::kQ4_1, b, nullptr, {3, 9, k});
    for (std::size_t j = 0; j < 9; ++j) {
      EXPECT_TRUE(std::isnan(c[j]));
      EXPECT_TRUE(std::isnan(c[9 + j]));
      EXPECT_EQ(c[18 + j], 0.0F);
    }
  }
}

}  // namespace
}  // namespace tack::kernels
