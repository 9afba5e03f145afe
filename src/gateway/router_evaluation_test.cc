#include "gateway/router_evaluation.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "base/random.h"

namespace tack::gateway {
namespace {

// The definition, without any cleverness: the curve at every number of strong calls.
Recovery by_definition(const std::vector<float>& score, const std::vector<float>& weak,
                       const std::vector<float>& strong) {
  std::vector<std::size_t> order(score.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::stable_sort(order, [&](auto a, auto b) { return score[a] > score[b]; });
  const auto n = static_cast<double>(order.size());
  double low = 0, high = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    low += static_cast<double>(weak[i]) / n;
    high += static_cast<double>(strong[i]) / n;
  }
  std::vector<double> curve = {low};
  for (const std::size_t i : order)
    curve.push_back(curve.back() + static_cast<double>(strong[i] - weak[i]) / n);
  Recovery out{0, 1, 1};
  for (std::size_t k = 0; k + 1 < curve.size(); ++k)
    out.apgr += ((curve[k] + curve[k + 1]) / 2 - low) / n / (high - low);
  for (std::size_t k = curve.size(); k-- > 0;) {
    const double share = static_cast<double>(k) / n;
    if (curve[k] >= low + 0.5 * (high - low) - 1e-9) out.cpt50 = share;
    if (curve[k] >= low + 0.8 * (high - low) - 1e-9) out.cpt80 = share;
  }
  return out;
}

TEST(RouterEvaluation, RecoveryIsWhatItsDefinitionSays) {
  Random random(3);
  std::vector<float> score, weak, strong;
  for (int i = 0; i < 500; ++i) {
    score.push_back(static_cast<float>(random.uniform()));
    weak.push_back(random.below(2) == 0 ? 1.0F : 0.0F);
    strong.push_back(random.uniform() < 0.6 + 0.3 * static_cast<double>(score.back()) ? 1 : 0);
  }
  const Recovery expected = by_definition(score, weak, strong);
  const Recovery found = recovery({score, weak, strong});
  EXPECT_NEAR(found.apgr, expected.apgr, 1e-9);
  EXPECT_NEAR(found.cpt50, expected.cpt50, 1.0 / 500);
  EXPECT_NEAR(found.cpt80, expected.cpt80, 1.0 / 500);
}

TEST(RouterEvaluation, RowsOfOneScoreAreInRandomOrder) {
  const std::vector<float> same(4, 1), weak = {0, 0, 1, 0}, strong = {1, 1, 0, 1};
  const Recovery found = recovery({same, weak, strong});
  EXPECT_DOUBLE_EQ(found.apgr, 0.5);
  EXPECT_DOUBLE_EQ(found.cpt50, 0.5);
  EXPECT_DOUBLE_EQ(found.cpt80, 0.8);
}

// A row that counts twice is two rows.
TEST(RouterEvaluation, RowsMayCountSeveralTimes) {
  const std::vector<float> score = {3, 2, 1}, weak = {0, 1, 0}, strong = {1, 0, 1};
  const std::vector<int> times = {2, 0, 1};
  const Recovery counted = recovery({score, weak, strong, times});
  const std::vector<float> score3 = {3, 3, 1}, weak3 = {0, 0, 0}, strong3 = {1, 1, 1};
  const Recovery copied = recovery({score3, weak3, strong3});
  EXPECT_DOUBLE_EQ(counted.apgr, copied.apgr);
  EXPECT_DOUBLE_EQ(counted.cpt50, copied.cpt50);
}

RouterCard card_of(std::vector<std::pair<std::string, double>> models, std::size_t strong) {
  RouterCard card;
  for (auto& [name, cost] : models) card.models.push_back({std::move(name), {}, cost, 0.5});
  card.strong = strong;
  card.points = {{{-1, true}}, {{0.1}}, {{0.5}}, {{2}}};
  return card;
}

TEST(RouterEvaluation, OfTwoModels) {
  RouterData data;
  data.models = {"weak", "strong"};
  data.texts = {"a", "bbbb", "cc", "ddd"};
  data.scores = {1, 1, 0, 1, 1, 0, 0, 1};  // the strong one is needed for b and d
  data.against = {0, 1, 1, 1};
  const std::vector<float> quality = {0.9F, 0.9F, 0.2F, 0.9F, 0.8F, 0.9F, 0.3F, 0.95F};
  const auto card = card_of({{"weak", 0}, {"strong", 1}}, 1);
  const auto evaluation = evaluate_router(card, data, quality, RoutingPolicy{0.3});
  ASSERT_TRUE(evaluation.pair && evaluation.routed);
  EXPECT_DOUBLE_EQ(evaluation.model_quality[0], 0.5);
  EXPECT_DOUBLE_EQ(evaluation.model_quality[1], 0.75);
  // b and d to the strong model: all four right, 4/3 of what the strong one alone has.
  EXPECT_DOUBLE_EQ(evaluation.routed->quality.value, 1);
  EXPECT_DOUBLE_EQ(evaluation.routed->kept.value, 4.0 / 3);
  EXPECT_DOUBLE_EQ(evaluation.routed->shares[1], 0.5);
  EXPECT_DOUBLE_EQ(evaluation.routed->cost, 0.5);
  ASSERT_EQ(evaluation.pair->baselines.size(), 4U);
  EXPECT_EQ(evaluation.pair->baselines[0].name, "random");
  EXPECT_DOUBLE_EQ(evaluation.pair->baselines[0].measured.apgr, 0.5);
  // Ranked b, d, c, a: quality .75, 1, .75, .75 after .5.
  EXPECT_NEAR(evaluation.pair->apgr.value, (0.125 + 0.375 + 0.375 + 0.25) / 4 / 0.25, 1e-6);
  EXPECT_DOUBLE_EQ(evaluation.pair->curve[10].router, 1);
  EXPECT_DOUBLE_EQ(evaluation.pair->curve[20].router, 0.75);
  EXPECT_DOUBLE_EQ(evaluation.hindsight_quality, 1);
  EXPECT_DOUBLE_EQ(evaluation.hindsight_cost, 0.5);
  ASSERT_EQ(evaluation.frontier.size(), 4U);
  EXPECT_DOUBLE_EQ(evaluation.frontier.front().quality, 0.75);  // always strong
  EXPECT_DOUBLE_EQ(evaluation.frontier.back().quality, 0.5);    // never
}

TEST(RouterEvaluation, OfThreeModelsTheMixtureIsTheUpperHull) {
  RouterData data;
  data.models = {"a", "b", "c"};
  data.texts = {"x", "y"};
  data.scores = {0.2F, 0.3F, 1, 0.2F, 0.3F, 0.6F};
  const std::vector<float> quality = {0.2F, 0.3F, 0.9F, 0.2F, 0.3F, 0.35F};
  const auto card = card_of({{"a", 0}, {"b", 0.5}, {"c", 1}}, 2);
  const auto evaluation = evaluate_router(card, data, quality, std::nullopt);
  EXPECT_FALSE(evaluation.pair || evaluation.routed);
  // At 0.5, x to c and y to a: b lies below the line from a to c.
  EXPECT_NEAR(evaluation.frontier[2].quality, 0.6, 1e-6);
  EXPECT_NEAR(evaluation.frontier[2].cost, 0.5, 1e-6);
  EXPECT_NEAR(evaluation.frontier[2].mixed, 0.5, 1e-6);
}

TEST(RouterEvaluation, ChancesThatComeTrueHaveNoCalibrationError) {
  Random random(9);
  RouterData data;
  data.models = {"told", "boasted"};
  std::vector<float> quality;
  for (int i = 0; i < 20'000; ++i) {
    const double chance = random.uniform();
    data.texts.emplace_back("x");
    for (int m = 0; m < 2; ++m) data.scores.push_back(random.uniform() < chance ? 1.0F : 0.0F);
    quality.push_back(static_cast<float>(chance));
    quality.push_back(static_cast<float>(std::min(1.0, chance + 0.2)));
  }
  const auto evaluation = evaluate_router(card_of({{"told", 0}, {"boasted", 1}}, 1), data, quality,
                                          std::nullopt, {.resamples = 2});
  EXPECT_LT(evaluation.calibration_error[0], 0.02);
  EXPECT_NEAR(evaluation.calibration_error[1], 0.18, 0.02);
}

}  // namespace
}  // namespace tack::gateway
