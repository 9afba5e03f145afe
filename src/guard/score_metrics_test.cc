#include "guard/score_metrics.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace tack::guard {
namespace {

constexpr double kRates[] = {0.01, 0.05};

TEST(ScoreMetrics, TheThresholdOfARateIsTheLowestThatKeepsIt) {
  std::vector<float> scores;
  for (int i = 0; i < 100; ++i) scores.push_back(static_cast<float>(i) / 100);
  const auto tripped = [&](double threshold) {
    return std::ranges::count_if(scores,
                                 [&](float s) { return static_cast<double>(s) >= threshold; });
  };
  EXPECT_EQ(tripped(threshold_for(scores, 0.05)), 5);
  EXPECT_EQ(tripped(threshold_for(scores, 0.0)), 0);
  EXPECT_EQ(tripped(threshold_for(scores, 1.0)), 100);
  EXPECT_EQ(tripped(threshold_for(scores, 0.059)), 5);
  const std::vector<float> tied(10, 0.5F);  // none can be let through alone
  EXPECT_GT(threshold_for(tied, 0.5), 0.5);
  EXPECT_EQ(threshold_for({}, 0.01), 0);
}

// Counted by hand: 3 of 4 positives above the only negative that may not trip.
TEST(ScoreMetrics, NumbersByHand) {
  ScoredRows rows;
  rows.scores = {0.9F, 0.8F, 0.7F, 0.2F, 0.75F, 0.1F, 0.3F, 0.05F};
  rows.positive = {true, true, true, true, false, false, false, false};
  rows.sources = {"a", "a", "b", "b", "a", "a", "c", "c"};
  rows.others = {0.1F, 0.2F, 0.3F, 0.4F, 0.9F, 0.8F, 0.7F, 0.6F};
  const double rate[] = {0.0, 0.25};
  const auto report = measure_scores(rows, 0.72, rate);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_NEAR(report->auroc.value, (4 + 4 + 3 + 2) / 16.0, 1e-9);
  EXPECT_NEAR(report->rates[0].recall.value, 0.5, 1e-9);
  EXPECT_NEAR(report->rates[1].recall.value, 0.75, 1e-9);
  EXPECT_NEAR(report->recall.value, 0.5, 1e-9);
  EXPECT_NEAR(report->false_positives.value, 0.25, 1e-9);
  EXPECT_NEAR(report->other_auroc->value, 0, 1e-9);
  EXPECT_NEAR(report->auroc_difference->value, 13 / 16.0, 1e-9);
  ASSERT_EQ(report->sources.size(), 3U);
  EXPECT_FALSE(report->sources[0].against_all);
  EXPECT_NEAR(report->sources[0].auroc->value, 1, 1e-9);
  EXPECT_TRUE(report->sources[1].against_all);
  EXPECT_NEAR(report->sources[1].auroc->value, 5 / 8.0, 1e-9);
  EXPECT_FALSE(report->sources[2].auroc);
  EXPECT_NEAR(report->sources[2].false_positives->value, 0, 1e-9);
}

TEST(ScoreMetrics, TheAreaIsThatOfEvalAndIntervalsHoldIt) {
  Random random(1);
  ScoredRows rows;
  std::vector<float> positives, negatives;
  for (int i = 0; i < 400; ++i) {
    const bool positive = i % 3 == 0;
    const auto score = static_cast<float>(random.normal() + (positive ? 1 : 0));
    rows.scores.push_back(score);
    rows.positive.push_back(positive);
    (positive ? positives : negatives).push_back(score);
  }
  rows.others = rows.scores;
  const auto report = measure_scores(rows, 0.5, kRates);
  ASSERT_TRUE(report);
  EXPECT_NEAR(report->auroc.value, auroc(positives, negatives), 1e-9);
  EXPECT_LT(report->auroc.low, report->auroc.value);
  EXPECT_GT(report->auroc.high, report->auroc.value);
  EXPECT_EQ(report->auroc_difference->low, 0);
  EXPECT_EQ(report->auroc_difference->high, 0);
  EXPECT_TRUE(scores_html("<x>", {{"a", "b"}}, rows, *report).contains("<polyline"));
}

TEST(ScoreMetrics, OneSideAloneIsRefused) {
  ScoredRows rows;
  rows.scores = {0.1F, 0.2F};
  rows.positive = {false, false};
  EXPECT_EQ(measure_scores(rows, 0.5, kRates).error().code, ErrorCode::kUsage);
}

}  // namespace
}  // namespace tack::guard
