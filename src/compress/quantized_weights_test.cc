#include "compress/quantized_weights.h"

#include <cmath>
#include <string>

#include <gtest/gtest.h>

#include "base/random.h"
#include "tensor/block_parts.h"
#include "tensor/convert.h"

namespace tack {
namespace {

constexpr std::int64_t kRows = 3, kCols = 256;
constexpr DType kTypes[] = {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,   DType::kQ5_1,
                            DType::kQ8_0, DType::kQ2_K, DType::kQ3_K,   DType::kQ4_K,
                            DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS};

std::vector<float> numbers(std::size_t count, std::uint64_t seed, double size) {
  Random random(seed);
  std::vector<float> out(count);
  for (float& v : out) v = static_cast<float>(size * random.normal());
  return out;
}

// Blocks with scales of about 0.01 and any codes.
std::vector<std::byte> some_blocks(DType dtype, std::uint64_t seed) {
  Random random(seed);
  const auto below = [&](int n) {
    return static_cast<int>(random.below(static_cast<std::uint64_t>(n)));
  };
  const auto levels = block_levels(dtype);
  const std::size_t bytes = info(dtype).block_bytes;
  const auto count = static_cast<std::size_t>(kRows * kCols / info(dtype).block_elements);
  std::vector<std::byte> out(count * bytes);
  BlockParts parts = take_apart(dtype, out.data());  // shape, and codes of types without
  for (std::size_t b = 0; b < count; ++b) {
    parts.scale = static_cast<float>(0.01 + 0.01 * random.uniform());
    parts.offset = static_cast<float>(-0.01 - 0.02 * random.uniform());
    for (int g = 0; g < parts.values / parts.group; ++g) {
      if (info(dtype).block_elements == 256)
        parts.scale_code[g] = static_cast<std::int8_t>(1 + below(15));
      if (dtype == DType::kQ2_K || dtype == DType::kQ4_K || dtype == DType::kQ5_K)
        parts.offset_code[g] = static_cast<std::int8_t>(below(16));
    }
    for (int i = 0; i < parts.values; ++i)
      parts.code[i] = levels[static_cast<std::size_t>(below(static_cast<int>(levels.size())))];
    put_together(dtype, parts, out.data() + b * bytes);
  }
  return out;
}

std::vector<float> decoded(DType dtype, const std::vector<std::byte>& blocks) {
  std::vector<float> out(static_cast<std::size_t>(kRows * kCols));
  EXPECT_TRUE(to_f32(dtype, blocks, out));
  return out;
}

// One weight "w" [kRows, kCols], as it is trained.
struct Trained {
  graph::Graph graph;
  ThreadPool pool;
  QuantizedWeights weights;
  ParameterSet parameters;

  Trained(DType dtype, const std::vector<std::byte>& blocks, const QuantizedTraining& settings,
          const std::vector<float>& latents = {}, bool fit = false, int threads = 2)
      : pool(threads), weights(settings, pool) {
    const graph::WeightId w = graph.weight("w", {kRows, kCols});
    const Status added = weights.add(graph, w, dtype, blocks, latents, fit);
    EXPECT_TRUE(added) << added.error().message;
    std::vector<bool> used;
    weights.choose(used);
    auto made = ParameterSet::create(
        graph, used,
        [&](const graph::Weight& weight) -> Result<std::vector<float>> {
          return *weights.start(weight.name);
        },
        [&](const graph::Weight& weight) {
          return weights.rule(weight.name).value_or(TrainRule{});
        });
    EXPECT_TRUE(made);
    parameters = std::move(*made);
    weights.attach(parameters);
    weights.materialise(0, 10);
  }

  std::vector<float> values() const {
    const auto v = weights.values("w");
    return {v.begin(), v.end()};
  }
  std::span<float> numbers_of(const char* name) {
    const ParameterSet::Weight& w = *parameters.find(name);
    return parameters.values().subspan(static_cast<std::size_t>(w.offset),
                                       static_cast<std::size_t>(w.size));
  }
  std::span<float> gradient() {
    const Parameter p = weights.tape_parameters()[0];
    return {p.gradient, static_cast<std::size_t>(p.size)};
  }
  double weighed(const std::vector<float>& by) const {
    double sum = 0;
    const auto v = weights.values("w");
    for (std::size_t i = 0; i < v.size(); ++i)
      sum += static_cast<double>(v[i]) * static_cast<double>(by[i]);
    return sum;
  }
};

TEST(QuantizedWeights, BeginsAsTheFileDecodesAndEndsAsAFileDoes) {
  for (const DType dtype : kTypes) {
    SCOPED_TRACE(info(dtype).name);
    const auto blocks = some_blocks(dtype, 1);
    Trained trained(dtype, blocks, {});
    EXPECT_EQ(trained.values(), decoded(dtype, blocks));
    EXPECT_EQ(trained.weights.blocks("w"), blocks);
    // Numbers elsewhere: the tape computes with the values of the file that is written then.
    for (const char* name : {"w#scale", "w#offset"}) {
      if (trained.parameters.find(name) == nullptr) continue;
      const auto moves = numbers(trained.numbers_of(name).size(), 2, 0.1);
      for (std::size_t i = 0; i < moves.size(); ++i) trained.numbers_of(name)[i] += moves[i];
    }
    trained.weights.materialise(10, 10);
    const auto written = trained.weights.blocks("w");
    EXPECT_NE(written, blocks);
    EXPECT_EQ(trained.values(), decoded(dtype, written));
    // Codes are the same, of values and of groups.
    for (std::size_t b = 0; b < blocks.size(); b += info(dtype).block_bytes) {
      const BlockParts before = take_apart(dtype, blocks.data() + b),
                       after = take_apart(dtype, written.data() + b);
      for (int i = 0; i < before.values; ++i) ASSERT_EQ(before.code[i], after.code[i]);
      for (int g = 0; g < before.values / before.group; ++g) {
        ASSERT_EQ(before.scale_code[g], after.scale_code[g]);
        ASSERT_EQ(before.offset_code[g], after.offset_code[g]);
      }
    }
  }
}

// Values are linear in the numbers but for f16, so a large step has the right slope.
TEST(QuantizedWeights, GradientsAreThoseOfFiniteDifferences) {
  constexpr float kStep = 0.25F;
  for (const DType dtype : kTypes) {
    SCOPED_TRACE(info(dtype).name);
    Trained trained(dtype, some_blocks(dtype, 3), {});
    const std::vector<float> slopes = numbers(trained.values().size(), 4, 1);
    std::ranges::copy(slopes, trained.gradient().begin());
    trained.weights.pull_back();
    for (const char* name : {"w#scale", "w#offset"}) {
      const ParameterSet::Weight* const weight = trained.parameters.find(name);
      if (weight == nullptr) continue;
      const auto gradients = trained.parameters.gradients(*weight);
      const auto values = trained.numbers_of(name);
      for (std::size_t b = 0; b < values.size(); b += 2) {
        const float before = values[b];
        values[b] = before + kStep;
        trained.weights.materialise(1, 10);
        const double up = trained.weighed(slopes);
        values[b] = before - kStep;
        trained.weights.materialise(1, 10);
        const double slope = (up - trained.weighed(slopes)) / (2 * static_cast<double>(kStep));
        values[b] = before;
        EXPECT_NEAR(static_cast<double>(gradients[b]), slope, 0.005 * std::fabs(slope) + 0.02)
            << name << b;
      }
    }
    // What was pulled back does not count twice.
    for (const float g : trained.gradient()) ASSERT_EQ(g, 0.0F);
  }
}

TEST(QuantizedWeights, CodesFollowTheNearestLevelAndClippedValuesStay) {
  for (const DType dtype : {DType::kQ4_0, DType::kQ4_K, DType::kQ3_K, DType::kIQ4_NL}) {
    SCOPED_TRACE(info(dtype).name);
    const auto blocks = some_blocks(dtype, 5);
    const auto values = decoded(dtype, blocks);
    std::vector<float> latents = values;
    const auto noise = numbers(latents.size(), 6, 0.2);
    for (std::size_t i = 0; i < latents.size(); ++i) latents[i] += noise[i];
    Trained trained(dtype, blocks, {.codes = true}, latents);
    const auto now = trained.values();
    std::ranges::fill(trained.gradient(), 1.0F);
    trained.weights.pull_back();
    const auto slopes = trained.parameters.gradients(*trained.parameters.find("w"));
    std::size_t clipped = 0;
    const std::size_t each = static_cast<std::size_t>(info(dtype).block_elements);
    for (std::size_t i = 0; i < latents.size(); ++i) {
      const BlockParts parts =
          take_apart(dtype, blocks.data() + i / each * info(dtype).block_bytes);
      const auto g = i % each / static_cast<std::size_t>(parts.group);
      // By trying all levels.
      float nearest = INFINITY, low = INFINITY, high = -INFINITY;
      for (const std::int8_t level : block_levels(dtype)) {
        const float v =
            parts.scale * parts.scale_code[g] * level + parts.offset * parts.offset_code[g];
        if (std::fabs(v - latents[i]) < std::fabs(nearest - latents[i])) nearest = v;
        low = std::min(low, v);
        high = std::max(high, v);
      }
      ASSERT_NEAR(std::fabs(now[i] - latents[i]), std::fabs(nearest - latents[i]), 1e-5) << i;
      if (slopes[i] == 0) {
        ASSERT_TRUE(latents[i] < low || latents[i] > high) << i;
        ++clipped;
      }
    }
    EXPECT_GT(clipped, 10U);
    EXPECT_LT(clipped, latents.size());
  }
}

TEST(QuantizedWeights, LearnedCodesBeginWithTheCodesGiven) {
  for (const DType dtype : kTypes) {
    SCOPED_TRACE(info(dtype).name);
    const auto blocks = some_blocks(dtype, 7);
    const auto original = numbers(static_cast<std::size_t>(kRows * kCols), 8, 0.3);
    const auto latents = within_codes(dtype, blocks, original);
    const Trained trained(dtype, blocks, {.codes = true}, latents);
    EXPECT_EQ(trained.weights.blocks("w"), blocks);
  }
}

TEST(QuantizedWeights, FittedScalesAreCloserToTheValues) {
  for (const DType dtype : {DType::kQ4_0, DType::kQ4_1, DType::kQ8_0, DType::kQ4_K}) {
    SCOPED_TRACE(info(dtype).name);
    const auto values = numbers(static_cast<std::size_t>(kRows * kCols), 9, 0.3);
    std::vector<std::byte> blocks(some_blocks(dtype, 1).size());
    ASSERT_TRUE(from_f32(dtype, values, blocks));
    const auto error = [&](bool fit) {
      double sum = 0;
      const auto now = Trained(dtype, blocks, {.codes = true}, values, fit).values();
      for (std::size_t i = 0; i < now.size(); ++i)
        sum += std::pow(static_cast<double>(now[i] - values[i]), 2);
      return sum;
    };
    EXPECT_LE(error(true), 1.0001 * error(false));
    if (dtype == DType::kQ4_0) {
      EXPECT_LT(error(true), 0.95 * error(false));
    }
  }
}

TEST(QuantizedWeights, BeginWhenTheyAreAskedToAndFitWhatTheWeightsAreThen) {
  const DType dtype = DType::kQ4_0;
  constexpr float kGrowth = 2;
  const auto values = numbers(static_cast<std::size_t>(kRows * kCols), 10, 0.3);
  std::vector<std::byte> blocks(some_blocks(dtype, 1).size());
  ASSERT_TRUE(from_f32(dtype, values, blocks));
  Trained trained(dtype, blocks, {.codes = true, .after = 0.5}, values);
  EXPECT_EQ(trained.values(), values);
  std::ranges::fill(trained.gradient(), 1.0F);
  trained.weights.pull_back();
  for (const float g : trained.gradient()) ASSERT_EQ(g, 1.0F);  // straight to the weights
  EXPECT_EQ(trained.parameters.gradients(*trained.parameters.find("w#scale"))[0], 0.0F);
  for (float& v : trained.numbers_of("w")) v *= kGrowth;
  trained.weights.materialise(4, 10);
  EXPECT_EQ(trained.values()[5], kGrowth * values[5]);
  trained.weights.materialise(10, 10);  // a validation: quantized, with scales as they are
  EXPECT_NE(trained.values()[5], kGrowth * values[5]);
  EXPECT_EQ(trained.numbers_of("w#scale")[0], 1.0F);
  trained.weights.materialise(5, 10);
  EXPECT_GT(trained.numbers_of("w#scale")[0], 1.5F);
  double error = 0, size = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    error += std::pow(static_cast<double>(trained.values()[i] - kGrowth * values[i]), 2);
    size += std::pow(static_cast<double>(kGrowth * values[i]), 2);
  }
  EXPECT_LT(error, 0.02 * size);
}

TEST(QuantizedWeights, BlocksThatAreNotFiniteAreRefused) {
  auto blocks = some_blocks(DType::kQ4_0, 1);
  blocks[0] = std::byte{0};
  blocks[1] = std::byte{0x7c};  // infinity
  ThreadPool pool(1);
  graph::Graph graph;
  const graph::WeightId w = graph.weight("w", {kRows, kCols});
  QuantizedWeights weights({}, pool);
  const Status added = weights.add(graph, w, DType::kQ4_0, blocks, {}, false);
  ASSERT_FALSE(added);
  EXPECT_NE(added.error().message.find("'w': block 0"), std::string::npos);
  const std::vector<std::byte> halves(static_cast<std::size_t>(kRows * kCols) * 2);
  EXPECT_FALSE(weights.add(graph, w, DType::kF16, halves, {}, false));
}

}  // namespace
}  // namespace tack
