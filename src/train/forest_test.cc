#include "train/forest.h"

#include <algorithm>
#include <atomic>
#include <numeric>

#include <gtest/gtest.h>

#include "base/random.h"
#include "train/principal_components.h"

namespace tack {
namespace {

// Two targets that depend on the first two of six features; the second target has noise.
struct Planted {
  explicit Planted(std::int64_t rows) {
    Random random(7);
    for (std::int64_t i = 0; i < rows; ++i) {
      for (int f = 0; f < 6; ++f) features.push_back(static_cast<float>(random.normal()));
      const float* row = features.data() + i * 6;
      targets.push_back(row[0] > 0.3F ? 1.0F : 0.0F);
      targets.push_back(random.uniform() < (row[1] > 0 ? 0.8 : 0.3) ? 1.0F : 0.0F);
    }
    which.resize(static_cast<std::size_t>(rows));
    std::iota(which.begin(), which.end(), 0);
  }
  ForestRows rows() const { return {features, targets, 6, 2}; }
  std::vector<float> features, targets;
  std::vector<std::int64_t> which;
};

TEST(Forest, LearnsAPlantedRule) {
  const Planted data(2000);
  ThreadPool pool(2);
  const auto forest =
      grow_forest(data.rows(), data.which, {.trees = 100, .feature_share = 1}, pool);
  ASSERT_TRUE(forest) << forest.error().message;
  ASSERT_TRUE(forest->check());
  std::array<float, 2> out{};
  forest->predict(std::array{2.0F, 1.5F, 0.0F, 0.0F, 0.0F, 0.0F}, out);
  EXPECT_GT(out[0], 0.9F);
  EXPECT_NEAR(out[1], 0.8F, 0.1F);
  forest->predict(std::array{-1.5F, -1.5F, 0.0F, 0.0F, 0.0F, 0.0F}, out);
  EXPECT_LT(out[0], 0.1F);
  EXPECT_NEAR(out[1], 0.3F, 0.1F);
}

TEST(Forest, IsTheSameForAnyNumberOfThreads) {
  const Planted data(500);
  ThreadPool one(1), three(3);
  std::atomic<int> grown = 0;
  const auto a = grow_forest(data.rows(), data.which, {.trees = 20, .seed = 3}, one);
  const auto b = grow_forest(data.rows(), data.which,
                             {.trees = 20, .seed = 3, .on_tree = [&] { ++grown; }}, three);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(grown, 20);
  EXPECT_EQ(a->values, b->values);
  ASSERT_EQ(a->nodes.size(), b->nodes.size());
  for (std::size_t i = 0; i < a->nodes.size(); ++i)
    ASSERT_EQ(a->nodes[i].threshold, b->nodes[i].threshold) << i;
  const auto c = grow_forest(data.rows(), data.which, {.trees = 20, .seed = 4}, one);
  EXPECT_NE(a->values, c->values);
}

// A leaf's value is the mean of its rows: with leaves that are all rows, the mean of all.
TEST(Forest, ALeafIsTheMeanOfItsRows) {
  const Planted data(200);
  ThreadPool pool(1);
  const auto forest = grow_forest(data.rows(), data.which, {.trees = 3, .leaf_rows = 150}, pool);
  ASSERT_TRUE(forest);
  EXPECT_EQ(forest->nodes.size(), 3U);
  double mean = 0;
  for (std::size_t i = 0; i < data.targets.size(); i += 2)
    mean += static_cast<double>(data.targets[i]) / 200;
  std::array<float, 2> out{};
  forest->predict(std::array{0.0F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F}, out);
  EXPECT_NEAR(out[0], mean, 1e-6);
}

TEST(Forest, RowsThatAreAllTheSameAreOneLeaf) {
  const std::vector<float> features(40, 1.0F), targets(20, 0.5F);
  std::vector<std::int64_t> which(20);
  std::iota(which.begin(), which.end(), 0);
  ThreadPool pool(1);
  const auto forest = grow_forest({features, targets, 2, 1}, which, {.trees = 2}, pool);
  ASSERT_TRUE(forest);
  EXPECT_EQ(forest->nodes.size(), 2U);
}

TEST(Forest, RefusesWhatDoesNotFit) {
  Planted data(50);
  ThreadPool pool(1);
  EXPECT_FALSE(grow_forest(data.rows(), {}, {}, pool));
  EXPECT_FALSE(grow_forest({data.features, data.targets, 5, 2}, data.which, {}, pool));
  EXPECT_FALSE(grow_forest(data.rows(), std::vector<std::int64_t>{50}, {}, pool));
  data.targets[3] = 1.5F;
  const auto wrong = grow_forest(data.rows(), data.which, {}, pool);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().message, "row 1: target 1.5 is outside [0, 1]");
}

TEST(Forest, CheckFindsEveryBrokenNode) {
  const Planted data(300);
  ThreadPool pool(1);
  auto whole = grow_forest(data.rows(), data.which, {.trees = 3}, pool);
  ASSERT_TRUE(whole && whole->check());
  // Whatever becomes of one number: refused, or predict() ends within bounds (sanitizers watch).
  Random random(5);
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    Forest broken = *whole;
    Forest::Node& node = broken.nodes[random.below(broken.nodes.size())];
    const auto value = static_cast<std::int32_t>(random.below(400)) - 40;
    (random.below(2) == 0 ? node.next : node.feature) = value;
    if (random.below(10) == 0) broken.roots[random.below(3)] = value;
    if (!broken.check()) {
      ++refused;
      continue;
    }
    std::array<float, 2> out{};
    broken.predict(std::array{0.1F, -0.1F, 0.0F, 0.3F, 0.0F, 0.0F}, out);
    ASSERT_GE(out[0], 0);
  }
  EXPECT_GT(refused, 1000);
  whole->values[0] = 2;
  EXPECT_FALSE(whole->check());
}

TEST(PrincipalComponents, FindPlantedDirections) {
  Random random(11);
  std::vector<float> rows;
  for (int i = 0; i < 3000; ++i) {
    const double a = 3 * random.normal(), b = random.normal();
    // Along (3, 4, 0, 0) / 5 and (0, 0, 1, -1) / sqrt(2), about (1, 2, 3, 4), and a little noise.
    const double noise[] = {0.1 * random.normal(), 0.1 * random.normal(), 0.1 * random.normal(),
                            0.1 * random.normal()};
    rows.push_back(static_cast<float>(1 + 0.6 * a + noise[0]));
    rows.push_back(static_cast<float>(2 + 0.8 * a + noise[1]));
    rows.push_back(static_cast<float>(3 + 0.7071 * b + noise[2]));
    rows.push_back(static_cast<float>(4 - 0.7071 * b + noise[3]));
  }
  const PrincipalComponents found = principal_components(rows, 4, 2, 1);
  ASSERT_EQ(found.directions.size(), 8U);
  EXPECT_NEAR(found.mean[2], 3, 0.1);
  EXPECT_NEAR(found.directions[0], 0.6, 0.02);
  EXPECT_NEAR(found.directions[1], 0.8, 0.02);
  EXPECT_NEAR(std::abs(found.directions[6]), 0.707, 0.02);
  EXPECT_NEAR(found.directions[6], -found.directions[7], 0.02);
}

TEST(PrincipalComponents, OfRowsWithoutSpreadAreZero) {
  const std::vector<float> rows(12, 2.0F);
  const PrincipalComponents found = principal_components(rows, 3, 2, 1);
  for (const float value : found.directions) EXPECT_EQ(value, 0);
}

}  // namespace
}  // namespace tack
