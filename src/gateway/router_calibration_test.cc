#include "gateway/router_calibration.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "gateway/router_policy.h"

namespace tack::gateway {
namespace {

// Rows of a weak and a strong model with what a router that knows the chances foretells: the weak
// model's is anything, the strong one's 0.9.
struct Foretold {
  Foretold(int rows, std::uint64_t seed) {
    Random random(seed);
    data.models = {"weak", "strong"};
    for (int i = 0; i < rows; ++i) {
      const double chance = random.uniform();
      data.texts.push_back("prompt " + std::to_string(random.next()));
      data.scores.push_back(random.uniform() < chance ? 1.0F : 0.0F);
      data.scores.push_back(random.uniform() < 0.9 ? 1.0F : 0.0F);
      quality.push_back(static_cast<float>(chance));
      quality.push_back(0.9F);
    }
  }
  ForetoldRows rows() const { return {&data, quality}; }
  RouterData data;
  std::vector<float> quality;
};

RouterCard card_of(const Foretold& training) {
  RouterCard card;
  card.models = {{"weak", {}, 0, 0.5}, {"strong", {}, 1, 0.9}};
  card.strong = 1;
  for (const RoutingPolicy& policy : policies_between(card, training.quality, 200))
    card.points.push_back({policy});
  return card;
}

double kept(const RouterCard& card, const Foretold& fresh) {
  double own = 0, strong = 0;
  for (std::size_t row = 0; row < fresh.data.rows(); ++row) {
    const std::span quality(fresh.quality.data() + 2 * row, 2);
    own += static_cast<double>(fresh.data.score(row, choose_model(card, quality, card.policy)));
    strong += static_cast<double>(fresh.data.score(row, 1));
  }
  return own / strong;
}

// The floor is one of probability: of many calibrations, few may miss it on rows to come.
TEST(RouterCalibration, TheFloorOfQualityHolds) {
  const Foretold fresh(100'000, 1);
  const RouterCard card = card_of(Foretold(2000, 2));
  for (const int rows : {200, 1000}) {
    int missed = 0, proven = 0;
    for (std::uint64_t i = 0; i < 300; ++i) {
      const Foretold held_back(rows, 100 + i);
      const auto calibrated =
          calibrate_router(card, held_back.rows(), {}, {.quality = 0.9, .confidence = 0.9}, i);
      ASSERT_TRUE(calibrated);
      proven += calibrated->proven;
      missed += kept(calibrated->card, fresh) < 0.9;
    }
    EXPECT_LE(missed, 30 + 10) << rows;  // 30 expected at the worst, deviation 5
    EXPECT_GE(proven, 290) << rows;
  }
}

// More rows prove more: fewer calls of the strong model, and a bound that comes nearer.
TEST(RouterCalibration, MoreRowsCostLess) {
  const RouterCard card = card_of(Foretold(2000, 2));
  double before = 2;
  for (const int rows : {100, 1000, 10'000}) {
    const Foretold held_back(rows, 7);
    const auto calibrated = calibrate_router(card, held_back.rows(), {}, {.quality = 0.9}, 1);
    ASSERT_TRUE(calibrated && calibrated->proven) << rows;
    EXPECT_GE(calibrated->kept_bound, 0.899);
    double share = 0;
    for (std::size_t row = 0; row < held_back.data.rows(); ++row)
      share += choose_model(calibrated->card, std::span(held_back.quality.data() + 2 * row, 2),
                            calibrated->card.policy) == 1;
    share /= static_cast<double>(rows);
    EXPECT_LT(share, before) << rows;
    before = share;
  }
}

TEST(RouterCalibration, PointsAreMeasuredOnTheRows) {
  const Foretold training(2000, 2), held_back(3000, 3);
  const auto calibrated = calibrate_router(card_of(training), held_back.rows(), training.quality,
                                           {.strong_share = 0.4}, 1);
  ASSERT_TRUE(calibrated);
  EXPECT_FALSE(calibrated->proven);  // nothing was asked for
  EXPECT_GT(calibrated->kept_bound, 0.8);
  const std::vector<PolicyPoint>& points = calibrated->card.points;
  EXPECT_DOUBLE_EQ(points.front().strong_share, 1);
  EXPECT_DOUBLE_EQ(points.back().strong_share, 0);
  for (std::size_t i = 1; i < points.size(); ++i)
    EXPECT_LE(points[i].strong_share, points[i - 1].strong_share);
  // The share that the policy has is the one asked for: P(0.9 - u > rate) = 0.4 at a rate of 0.5.
  EXPECT_NEAR(calibrated->card.policy.rate, 0.5, 0.03);
}

TEST(RouterCalibration, ResplitsShowHowOftenTheTargetIsKept) {
  const RouterCard card = card_of(Foretold(2000, 2));
  const Foretold rows(4000, 3);
  const auto results = resplit(card, rows.rows(), {.quality = 0.9}, 50, 1);
  ASSERT_TRUE(results);
  int above = 0;
  for (const ResplitResult& result : *results) above += result.kept >= 0.9;
  EXPECT_GE(above, 45);
  const auto shares = resplit(card, rows.rows(), {.strong_share = 0.3}, 20, 1);
  ASSERT_TRUE(shares);
  for (const ResplitResult& result : *shares) EXPECT_NEAR(result.strong_share, 0.3, 0.05);
}

TEST(RouterCalibration, RefusesWhatCannotBe) {
  const Foretold few(10, 1), enough(100, 1);
  const RouterCard card = card_of(enough);
  EXPECT_EQ(calibrate_router(card, few.rows(), {}, {}, 1).error().message,
            "10 rows to calibrate on are too few: at least 30");
  EXPECT_FALSE(calibrate_router(card, {&enough.data, few.quality}, {}, {}, 1));
  EXPECT_FALSE(calibrate_router(card, enough.rows(), {}, {.quality = 1.5}, 1));
  EXPECT_FALSE(calibrate_router(card, enough.rows(), {}, {.strong_share = 2.0}, 1));
}

}  // namespace
}  // namespace tack::gateway
