#include "compress/prune_columns.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "base/random.h"

namespace tack {
namespace {

// Rows whose columns depend on few numbers behind them, the last columns on almost nothing.
std::vector<float> correlated(std::int64_t rows, std::int64_t cols, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> mix;
  for (std::int64_t i = 0; i < 6 * cols; ++i) mix.push_back(static_cast<float>(random.normal()));
  std::vector<float> x;
  for (std::int64_t r = 0; r < rows; ++r) {
    double hidden[6];
    for (double& h : hidden) h = random.normal();
    for (std::int64_t c = 0; c < cols; ++c) {
      double value = 0.3 * random.normal() + 0.5;
      for (std::int64_t h = 0; h < 6; ++h)
        value += hidden[h] * static_cast<double>(mix[static_cast<std::size_t>(h * cols + c)]);
      x.push_back(static_cast<float>(c % 5 == 0 ? 0.01 * value : value));
    }
  }
  return x;
}
std::vector<float> normal(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(static_cast<float>(random.normal()));
  return out;
}

// A x = b by elimination with pivots, in f64: the independent answer.
std::vector<double> solve(std::vector<std::vector<double>> a, std::vector<double> b) {
  const std::size_t n = b.size();
  for (std::size_t k = 0; k < n; ++k) {
    std::size_t pivot = k;
    for (std::size_t i = k + 1; i < n; ++i)
      if (std::abs(a[i][k]) > std::abs(a[pivot][k])) pivot = i;
    std::swap(a[k], a[pivot]);
    std::swap(b[k], b[pivot]);
    for (std::size_t i = k + 1; i < n; ++i) {
      const double f = a[i][k] / a[k][k];
      for (std::size_t j = k; j < n; ++j) a[i][j] -= f * a[k][j];
      b[i] -= f * b[k];
    }
  }
  for (std::size_t k = n; k-- > 0;) {
    for (std::size_t j = k + 1; j < n; ++j) b[k] -= a[k][j] * b[j];
    b[k] /= a[k][k];
  }
  return b;
}

struct Problem {
  std::int64_t rows = 300, cols = 24, out = 10;
  std::vector<float> x = correlated(rows, cols, 1);
  std::vector<float> weight = normal(static_cast<std::size_t>(out * cols), 2);
  std::vector<float> bias = normal(static_cast<std::size_t>(out), 3);

  SecondMoments moments(ThreadPool& pool) const {
    SecondMoments m(cols);
    // In two parts, as batches come.
    m.add(std::span(x).first(static_cast<std::size_t>(100 * cols)), pool);
    m.add(std::span(x).subspan(static_cast<std::size_t>(100 * cols)), pool);
    return m;
  }

  // E|Wx + b - W'x' - b'|^2 over the rows, for the columns `kept`.
  double error(const std::vector<std::int64_t>& kept, std::span<const float> pruned,
               std::span<const float> new_bias) const {
    double sum = 0;
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t o = 0; o < out; ++o) {
        double d = new_bias.empty()
                       ? 0
                       : static_cast<double>(bias[static_cast<std::size_t>(o)]) -
                             static_cast<double>(new_bias[static_cast<std::size_t>(o)]);
        for (std::int64_t c = 0; c < cols; ++c)
          d += static_cast<double>(weight[static_cast<std::size_t>(o * cols + c)]) *
               static_cast<double>(x[static_cast<std::size_t>(r * cols + c)]);
        for (std::size_t i = 0; i < kept.size(); ++i)
          d -= static_cast<double>(pruned[static_cast<std::size_t>(o) * kept.size() + i]) *
               static_cast<double>(x[static_cast<std::size_t>(r * cols + kept[i])]);
        sum += d * d;
      }
    return sum / static_cast<double>(rows);
  }

  // The least-squares weights for columns `kept`, by the normal equations.
  std::vector<float> least_squares(const std::vector<std::int64_t>& kept) const {
    const std::size_t n = kept.size();
    const auto dot = [&](std::int64_t a, std::int64_t b) {
      double sum = 0;
      for (std::int64_t r = 0; r < rows; ++r)
        sum += static_cast<double>(x[static_cast<std::size_t>(r * cols + a)]) *
               static_cast<double>(x[static_cast<std::size_t>(r * cols + b)]);
      return sum;
    };
    std::vector<float> result;
    for (std::int64_t o = 0; o < out; ++o) {
      std::vector<std::vector<double>> a(n, std::vector<double>(n));
      std::vector<double> b(n);
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) a[i][j] = dot(kept[i], kept[j]);
        for (std::int64_t c = 0; c < cols; ++c)
          b[i] +=
              static_cast<double>(weight[static_cast<std::size_t>(o * cols + c)]) * dot(kept[i], c);
      }
      for (const double w : solve(a, b)) result.push_back(static_cast<float>(w));
    }
    return result;
  }
};

TEST(PruneColumns, WeightsAreLeastSquares) {
  const Problem p;
  ThreadPool pool(2);
  const auto pruned =
      prune_columns(p.moments(pool), p.weight, {}, {.keep = 12, .ridge = 1e-9}, pool);
  ASSERT_TRUE(pruned) << pruned.error().message;
  ASSERT_EQ(pruned->groups.size(), 12U);
  EXPECT_TRUE(std::ranges::is_sorted(pruned->groups));
  const std::vector<float> expected = p.least_squares(pruned->groups);
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(pruned->weight[i], expected[i], 2e-3 * (1 + std::abs(expected[i])));
  // What it says is lost is what is lost.
  const double whole = p.error({}, {}, {});
  EXPECT_NEAR(pruned->error, p.error(pruned->groups, pruned->weight, {}) / whole, 1e-4);
  // Dropping without a fit is worse, and so is a choice by the norm of columns.
  std::vector<float> unfitted;
  for (std::int64_t o = 0; o < p.out; ++o)
    for (const std::int64_t c : pruned->groups)
      unfitted.push_back(p.weight[static_cast<std::size_t>(o * p.cols + c)]);
  EXPECT_GT(p.error(pruned->groups, unfitted, {}) / whole, 3 * pruned->error);
  std::vector<std::int64_t> first(12);
  for (std::size_t i = 0; i < first.size(); ++i) first[i] = static_cast<std::int64_t>(i);
  EXPECT_GT(p.error(first, p.least_squares(first), {}) / whole, pruned->error);
}

// One column less: the one whose loss costs least, by trying all.
TEST(PruneColumns, TheFirstToGoIsTheBest) {
  const Problem p;
  ThreadPool pool(1);
  const auto pruned =
      prune_columns(p.moments(pool), p.weight, {}, {.keep = p.cols - 1, .ridge = 1e-9}, pool);
  ASSERT_TRUE(pruned);
  double least = 1e300;
  std::vector<std::int64_t> best;
  for (std::int64_t gone = 0; gone < p.cols; ++gone) {
    std::vector<std::int64_t> kept;
    for (std::int64_t c = 0; c < p.cols; ++c)
      if (c != gone) kept.push_back(c);
    if (const double e = p.error(kept, p.least_squares(kept), {}); e < least) {
      least = e;
      best = kept;
    }
  }
  EXPECT_EQ(pruned->groups, best);
}

TEST(PruneColumns, GroupsGoTogetherAndTheBiasTakesWhatWasConstant) {
  const Problem p;
  ThreadPool pool(2);
  const auto pruned =
      prune_columns(p.moments(pool), p.weight, p.bias, {.group = 4, .keep = 3}, pool);
  ASSERT_TRUE(pruned);
  ASSERT_EQ(pruned->groups.size(), 3U);
  ASSERT_EQ(pruned->bias.size(), p.bias.size());
  std::vector<std::int64_t> columns;
  for (const std::int64_t g : pruned->groups)
    for (std::int64_t i = 0; i < 4; ++i) columns.push_back(g * 4 + i);
  const double with_bias = p.error(columns, pruned->weight, pruned->bias);
  EXPECT_LT(with_bias, p.error(columns, p.least_squares(columns), p.bias));
}

TEST(PruneColumns, TheSameForAnyNumberOfThreads) {
  const Problem p;
  ThreadPool one(1), three(3);
  const ColumnChoice choice{.keep = 7};
  const auto a = prune_columns(p.moments(one), p.weight, p.bias, choice, one);
  const auto b = prune_columns(p.moments(three), p.weight, p.bias, choice, three);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a->groups, b->groups);
  EXPECT_EQ(a->weight, b->weight);
  EXPECT_EQ(a->bias, b->bias);
}

}  // namespace
}  // namespace tack
