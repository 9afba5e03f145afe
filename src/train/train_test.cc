#include <cmath>

#include <gtest/gtest.h>

#include "base/random.h"
#include "train/lbfgs.h"
#include "train/logistic.h"

namespace tack {
namespace {

TEST(Lbfgs, FindsTheMinimumOfRosenbrock) {
  const Objective rosenbrock = [](std::span<const double> x, std::span<double> g) {
    double sum = 0;
    std::fill(g.begin(), g.end(), 0.0);
    for (std::size_t i = 0; i + 1 < x.size(); ++i) {
      const double a = x[i + 1] - x[i] * x[i], b = 1 - x[i];
      sum += 100 * a * a + b * b;
      g[i] += -400 * a * x[i] - 2 * b;
      g[i + 1] += 200 * a;
    }
    return sum;
  };
  std::vector<double> x(10, -1.2);
  const auto result = minimize_lbfgs(rosenbrock, x, {.gradient_tolerance = 1e-8});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_TRUE(result->converged);
  for (double v : x) EXPECT_NEAR(v, 1, 1e-6);
}

TEST(Lbfgs, RefusesAnObjectiveThatIsNotFinite) {
  std::vector<double> x(2, 0.0);
  EXPECT_FALSE(minimize_lbfgs(
      [](std::span<const double>, std::span<double> g) {
        std::fill(g.begin(), g.end(), 0.0);
        return std::nan("");
      },
      x));
}

struct Sample {
  std::vector<float> x;
  std::vector<std::int32_t> y;
  LabelledFeatures view(std::int64_t dims, std::int32_t classes) const {
    return {x, y, dims, classes};
  }
};

Sample blobs(std::int64_t rows, std::int64_t dims, std::int32_t classes, double spread) {
  Random random(5);
  std::vector<double> centres(static_cast<std::size_t>(dims * classes));
  for (double& c : centres) c = random.normal();
  Sample s;
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto k = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(classes)));
    s.y.push_back(k);
    for (std::int64_t d = 0; d < dims; ++d)
      s.x.push_back(static_cast<float>(centres[static_cast<std::size_t>(k * dims + d)] +
                                       spread * random.normal()));
  }
  return s;
}

// scikit-learn's objective, written out again in f64 with its gradient.
double objective(const Sample& s, std::int64_t dims, std::int32_t classes, double c,
                 const std::vector<double>& w, std::vector<double>& g) {
  const auto n = static_cast<std::size_t>(dims * classes);
  g.assign(w.size(), 0.0);
  double value = 0;
  for (std::size_t r = 0; r < s.y.size(); ++r) {
    std::vector<double> z(static_cast<std::size_t>(classes));
    double total = 0;
    for (std::int32_t k = 0; k < classes; ++k) {
      double sum = w[n + static_cast<std::size_t>(k)];
      for (std::int64_t d = 0; d < dims; ++d)
        sum += w[static_cast<std::size_t>(k * dims + d)] *
               static_cast<double>(
                   s.x[r * static_cast<std::size_t>(dims) + static_cast<std::size_t>(d)]);
      z[static_cast<std::size_t>(k)] = sum;
    }
    for (double v : z) total += std::exp(v);
    value += c * (std::log(total) - z[static_cast<std::size_t>(s.y[r])]);
    for (std::int32_t k = 0; k < classes; ++k) {
      const double p = std::exp(z[static_cast<std::size_t>(k)]) / total - (s.y[r] == k ? 1 : 0);
      g[n + static_cast<std::size_t>(k)] += c * p;
      for (std::int64_t d = 0; d < dims; ++d)
        g[static_cast<std::size_t>(k * dims + d)] +=
            c * p *
            static_cast<double>(
                s.x[r * static_cast<std::size_t>(dims) + static_cast<std::size_t>(d)]);
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    value += 0.5 * w[i] * w[i];
    g[i] += w[i];
  }
  return value;
}

TEST(Logistic, EndsWhereTheGradientOfTheObjectiveVanishes) {
  const Sample s = blobs(700, 6, 4, 1.2);
  ThreadPool pool(2);
  for (double c : {0.1, 10.0}) {
    const auto fit = fit_logistic(s.view(6, 4), {.c = c, .tolerance = 1e-7}, pool);
    ASSERT_TRUE(fit) << fit.error().message;
    std::vector<double> w(fit->head.weight.begin(), fit->head.weight.end()), g;
    w.insert(w.end(), fit->head.bias.begin(), fit->head.bias.end());
    objective(s, 6, 4, c, w, g);
    for (double v : g) EXPECT_NEAR(v / (c * 700), 0, 2e-5);
  }
}

TEST(Logistic, TheNumberOfThreadsChangesNoBit) {
  const Sample s = blobs(3000, 8, 5, 1.5);
  ThreadPool one(1), three(3);
  const auto a = fit_logistic(s.view(8, 5), {}, one), b = fit_logistic(s.view(8, 5), {}, three);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a->head.weight, b->head.weight);
  EXPECT_EQ(a->head.bias, b->head.bias);
}

TEST(Logistic, SearchScoresRowsByFitsThatDidNotSeeThem) {
  const Sample s = blobs(600, 4, 3, 1.0);
  ThreadPool pool(2);
  const auto search = search_logistic(s.view(4, 3), {.grid = {0.01, 1, 100}, .folds = 5}, pool);
  ASSERT_TRUE(search) << search.error().message;
  EXPECT_EQ(search->out_of_fold_logits.size(), 1800U);
  // The chosen point's accuracy is that of the logits it kept.
  int right = 0;
  for (std::size_t r = 0; r < 600; ++r) {
    const auto row = search->out_of_fold_logits.begin() + static_cast<std::ptrdiff_t>(r * 3);
    right += std::max_element(row, row + 3) - row == s.y[r];
  }
  for (const auto& point : search->points)
    if (point.c == search->c) {
      EXPECT_NEAR(point.accuracy, right / 600.0, 1e-12);
    }
}

TEST(Logistic, IndependentLabelsAreAsManyFitsOfTwoClasses) {
  const Sample s = blobs(700, 6, 4, 1.2);
  ThreadPool pool(2);
  std::vector<float> targets;
  for (std::int32_t y : s.y)
    for (std::int32_t k = 0; k < 3; ++k) targets.push_back(y == k || y == 3 ? 1.0F : 0.0F);
  const auto fit = fit_logistic({s.x, {}, 6, 3, targets}, {.c = 2, .tolerance = 1e-8}, pool);
  ASSERT_TRUE(fit) << fit.error().message;
  double nll = 0;
  for (std::int32_t k = 0; k < 3; ++k) {
    Sample one{s.x, {}};
    for (std::int32_t y : s.y) one.y.push_back(y == k || y == 3 ? 1 : 0);
    const auto alone = fit_logistic(one.view(6, 2), {.c = 2, .tolerance = 1e-8}, pool);
    ASSERT_TRUE(alone);
    const auto& w = alone->head.weight;
    for (std::size_t d = 0; d < 6; ++d)
      EXPECT_NEAR(fit->head.weight[static_cast<std::size_t>(k) * 6 + d], w[6 + d] - w[d], 2e-3);
    nll += alone->mean_nll;
  }
  EXPECT_NEAR(fit->mean_nll, nll, 1e-5);
  const auto search = search_logistic({s.x, {}, 6, 3, targets}, {.grid = {0.01, 1}}, pool);
  ASSERT_TRUE(search) << search.error().message;
  EXPECT_EQ(search->out_of_fold_logits.size(), 2100U);
  EXPECT_FALSE(
      fit_logistic({s.x, {}, 6, 3, std::span(targets).first(targets.size() - 1)}, {}, pool));
}

TEST(Logistic, FoldsAreStratified) {
  std::vector<std::int32_t> labels;
  for (int i = 0; i < 100; ++i) labels.push_back(i < 20 ? 0 : 1);
  const auto folds = stratified_folds(labels, 2, 5, 1);
  for (int fold = 0; fold < 5; ++fold) {
    int small = 0, all = 0;
    for (int i = 0; i < 100; ++i) {
      all += folds[static_cast<std::size_t>(i)] == fold;
      small += i < 20 && folds[static_cast<std::size_t>(i)] == fold;
    }
    EXPECT_EQ(all, 20);
    EXPECT_EQ(small, 4);
  }
}

TEST(Logistic, RefusesWhatCannotBeFitted) {
  ThreadPool pool(1);
  const std::vector<float> x = {1, 2, 3, NAN};
  const std::vector<std::int32_t> y = {0, 1};
  EXPECT_FALSE(fit_logistic({x, y, 2, 2}, {}, pool));
  EXPECT_FALSE(fit_logistic({std::span(x).first(2), std::span(y).first(1), 2, 1}, {}, pool));
  EXPECT_FALSE(fit_logistic({x, y, 3, 2}, {}, pool));
  const std::vector<std::int32_t> outside = {0, 2};
  EXPECT_FALSE(fit_logistic({std::span(x).first(2), outside, 1, 2}, {}, pool));
}

}  // namespace
}  // namespace tack
