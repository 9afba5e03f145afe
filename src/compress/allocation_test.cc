#include "compress/allocation.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "base/random.h"

namespace tack {
namespace {

double loss_of(std::span<const TensorChoices> tensors, std::span<const std::size_t> chosen) {
  double loss = 0;
  for (std::size_t t = 0; t < tensors.size(); ++t) loss += tensors[t].types[chosen[t]].loss;
  return loss;
}
std::uint64_t bytes_of(std::span<const TensorChoices> tensors,
                       std::span<const std::size_t> chosen) {
  std::uint64_t bytes = 0;
  for (std::size_t t = 0; t < tensors.size(); ++t) bytes += tensors[t].types[chosen[t]].bytes;
  return bytes;
}

// The least loss of all that fits, by trying everything.
double best_of_all(std::span<const TensorChoices> tensors, std::uint64_t budget) {
  std::vector<std::size_t> chosen(tensors.size(), 0);
  double best = std::numeric_limits<double>::infinity();
  while (true) {
    if (bytes_of(tensors, chosen) <= budget) best = std::min(best, loss_of(tensors, chosen));
    std::size_t t = 0;
    while (t < tensors.size() && ++chosen[t] == tensors[t].types.size()) chosen[t++] = 0;
    if (t == tensors.size()) return best;
  }
}

TEST(Allocation, ComesCloseToTheBestOfAll) {
  Random random(3);
  double worst = 1, mean = 0;
  constexpr int kTrials = 300;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<TensorChoices> tensors(6);
    for (TensorChoices& tensor : tensors) {
      const double scale = std::exp(4 * random.uniform()), size = 1 + random.below(4);
      for (const double bits : {2.6, 4.5, 5.5, 6.6, 8.5})
        tensor.types.push_back({DType::kF32,
                                static_cast<std::uint64_t>(std::llround(32 * bits * size)),
                                scale * std::exp2(-2 * bits) * (0.5 + random.uniform())});
    }
    const std::uint64_t least = least_bytes(tensors);
    const std::uint64_t budget = least + random.below(2 * least);
    const auto chosen = allocate(tensors, budget);
    ASSERT_TRUE(chosen);
    EXPECT_LE(bytes_of(tensors, *chosen), budget);
    const double ratio = loss_of(tensors, *chosen) / best_of_all(tensors, budget);
    worst = std::max(worst, ratio);
    mean += ratio / kTrials;
  }
  EXPECT_LT(mean, 1.02);
  EXPECT_LT(worst, 1.5);
}

TEST(Allocation, EndsOfTheRange) {
  const std::vector<TensorChoices> tensors = {
      {"a", {{DType::kQ4_0, 18, 2}, {DType::kQ8_0, 34, 1}, {DType::kF16, 64, 0}}},
      {"b", {{DType::kF32, 100, 0}}}};
  EXPECT_EQ(least_bytes(tensors), 118U);
  EXPECT_FALSE(allocate(tensors, 117));
  EXPECT_EQ(allocate(tensors, 118), (std::vector<std::size_t>{0, 0}));
  EXPECT_EQ(allocate(tensors, 134), (std::vector<std::size_t>{1, 0}));
  EXPECT_EQ(allocate(tensors, 163), (std::vector<std::size_t>{1, 0}));
  EXPECT_EQ(allocate(tensors, 1000), (std::vector<std::size_t>{2, 0}));
}

}  // namespace
}  // namespace tack
