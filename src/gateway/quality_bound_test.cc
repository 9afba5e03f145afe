#include "gateway/quality_bound.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"

namespace tack::gateway {
namespace {

// Values of 1 - q, 1, 0 and -q as a router makes them, with a mean of `shift`.
std::vector<double> draw(Random& random, int rows, double mean) {
  // P(1) - 0.95 P(-0.95) = mean.
  const double plus = 0.05, minus = (plus - mean) / 0.95;
  std::vector<double> values;
  for (int i = 0; i < rows; ++i) {
    const double u = random.uniform();
    values.push_back(u < plus ? 1 : u < plus + minus ? -0.95 : 0);
  }
  return values;
}

// Were the mean 0, a proof must be as rare as the confidence says.
TEST(QualityBound, IsRarelyFooled) {
  Random random(1);
  for (const int rows : {50, 300, 3000}) {
    int fooled = 0;
    for (int i = 0; i < 2000; ++i)
      fooled += shows_positive_mean(draw(random, rows, 0), -0.95, 0.95);
    EXPECT_LE(fooled, 2000 * 0.06) << rows;
  }
}

TEST(QualityBound, FindsAMeanThatIsThere) {
  Random random(2);
  int found = 0;
  for (int i = 0; i < 200; ++i) found += shows_positive_mean(draw(random, 3000, 0.02), -0.95, 0.95);
  EXPECT_GT(found, 180);  // 3.4 standard errors
}

TEST(QualityBound, FewRowsWithoutALossProveLittle) {
  const std::vector<double> same(20, 1.0);
  EXPECT_FALSE(keeps_quality({same, same}, 0.95, 0.95));
  const std::vector<double> more(200, 1.0);
  EXPECT_TRUE(keeps_quality({more, more}, 0.95, 0.95));
  EXPECT_FALSE(keeps_quality({more, more}, 1, 0.95));  // nothing is ever above
  EXPECT_FALSE(keeps_quality({{}, {}}, 0.5, 0.95));
}

TEST(QualityBound, TheBoundLiesBelowWhatIsKeptAndNears) {
  Random random(3);
  std::vector<double> chosen, strong;
  for (int i = 0; i < 4000; ++i) {
    const bool right = random.uniform() < 0.8;
    strong.push_back(right ? 1 : 0);
    chosen.push_back(right && random.uniform() < 0.97 ? 1 : 0);
  }
  double kept = 0, all = 0;
  for (std::size_t i = 0; i < chosen.size(); ++i) kept += chosen[i], all += strong[i];
  const double bound = kept_quality_bound({chosen, strong}, 0.95);
  EXPECT_LT(bound, kept / all);
  EXPECT_GT(bound, kept / all - 0.015);
  EXPECT_LT(kept_quality_bound({chosen, strong}, 0.999), bound);
}

}  // namespace
}  // namespace tack::gateway
