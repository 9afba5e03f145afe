#include "train/losses.h"

#include <cmath>
#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"

namespace tack {
namespace {

std::vector<float> normal(std::size_t n, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> x(n);
  for (float& v : x) v = static_cast<float>(random.normal());
  return x;
}

// The gradient that `loss(x, gradient)` adds, against central differences of its value. Steps are
// wide, since x is f32; the losses are smooth.
using Loss = std::function<double(const std::vector<float>& x, std::vector<float>& gradient)>;
void check(const Loss& loss, std::vector<float> x, double tolerance = 2e-4) {
  std::vector<float> gradient(x.size(), 0.5F), ignored(x.size());
  loss(x, gradient);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float h = 0.0078125F, before = x[i];
    const auto at = [&](float by) {
      x[i] = before + by;
      return loss(x, ignored);
    };
    // Fourth order.
    const double numeric =
        (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * static_cast<double>(h));
    x[i] = before;
    EXPECT_NEAR(static_cast<double>(gradient[i]) - 0.5, numeric, tolerance) << i;
  }
}

TEST(Losses, GradientsMatchFiniteDifferences) {
  const std::vector<std::int32_t> labels = {2, -1, 0};
  for (double smoothing : {0.0, 0.1, 1.0})
    check([&](const auto& x, auto& g) { return cross_entropy(x, labels, 5, smoothing, 0.7, g); },
          normal(15, 1));
  const std::vector<float> targets = {0, 1, 1, 0.3F, 0, 1};
  check([&](const auto& x, auto& g) { return binary_cross_entropy(x, targets, 0.7, g); },
        normal(6, 2));
  const auto teacher = normal(15, 3);
  for (double temperature : {1.0, 4.0})
    check([&](const auto& x, auto& g) { return distillation(x, teacher, 5, temperature, 0.7, g); },
          normal(15, 4));
  for (double temperature : {1.0, 3.0})
    check([&](const auto& x,
              auto& g) { return binary_distillation(x, teacher, temperature, 0.7, g); },
          normal(15, 9));
  check([&](const auto& x, auto& g) { return mean_squared(x, teacher, 5, 0.7, g); }, normal(15, 5));
  check([&](const auto& x, auto& g) { return cosine_distance(x, teacher, 5, 0.7, g); },
        normal(15, 6));
  const auto wide = normal(3 * 16, 7);  // another width than the student's
  check([&](const auto& x, auto& g) { return relation(x, 8, wide, 16, 2, 0.7, g); }, normal(24, 8));
}

double cosine_of(const std::vector<float>& a, std::size_t i, const std::vector<float>& b,
                 std::size_t j, std::size_t cols) {
  double aa = 0, bb = 0, ab = 0;
  for (std::size_t c = 0; c < cols; ++c) {
    const auto x = static_cast<double>(a[i * cols + c]), y = static_cast<double>(b[j * cols + c]);
    aa += x * x, bb += y * y, ab += x * y;
  }
  return ab / std::sqrt(aa * bb);
}

// By its definition, in f64.
double slow_contrastive(const std::vector<float>& queries, const std::vector<float>& keys,
                        std::size_t cols, double temperature,
                        const std::vector<std::uint8_t>& masked) {
  const std::size_t n = queries.size() / cols, m = keys.size() / cols;
  const auto e = [&](std::size_t i, std::size_t j) {
    return i != j && !masked.empty() && masked[i * m + j] != 0
               ? 0.0
               : std::exp(cosine_of(queries, i, keys, j, cols) / temperature);
  };
  double loss = 0;
  for (std::size_t i = 0; i < n; ++i) {
    double row = 0, column = 0;
    for (std::size_t j = 0; j < m; ++j) row += e(i, j);
    for (std::size_t j = 0; j < n; ++j) column += e(j, i);
    loss -= 0.5 * (std::log(e(i, i) / row) + std::log(e(i, i) / column));
  }
  return loss;
}

TEST(Losses, ContrastiveIsItsDefinitionAndSoAreItsGradients) {
  const auto queries = normal(12, 1), keys = normal(20, 2);  // 3 queries, 5 keys
  std::vector<std::uint8_t> masked(15);
  masked[1] = masked[5] = masked[13] = 1;
  std::vector<float> ignored(20);
  for (const auto& mask : {std::vector<std::uint8_t>(), masked}) {
    const auto loss = [&](const auto& q, const auto& k, auto& dq, auto& dk) {
      return contrastive({.queries = q, .keys = k, .cols = 4, .temperature = 0.5, .masked = mask},
                         0.7, dq, dk);
    };
    EXPECT_NEAR(loss(queries, keys, ignored, ignored),
                0.7 * slow_contrastive(queries, keys, 4, 0.5, mask), 1e-5);
    check([&](const auto& x, auto& g) { return loss(x, keys, g, ignored); }, queries);
    check([&](const auto& x, auto& g) { return loss(queries, x, ignored, g); }, keys);
  }
}

TEST(Losses, CosentIsItsDefinitionAndSoAreItsGradients) {
  const auto left = normal(16, 1), right = normal(16, 2);
  const std::vector<float> scores = {3, 1, 1, 5};
  std::vector<float> ignored(16);
  double sum = 1;
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t j = 0; j < 4; ++j)
      if (scores[i] > scores[j])
        sum += std::exp((cosine_of(left, j, right, j, 4) - cosine_of(left, i, right, i, 4)) / 0.25);
  EXPECT_NEAR(cosent(left, right, scores, 4, 0.25, 0.5, ignored, ignored), 0.5 * 4 * std::log(sum),
              1e-9);
  check([&](const auto& x, auto& g) { return cosent(x, right, scores, 4, 0.5, 0.7, g, ignored); },
        left);
  check([&](const auto& x, auto& g) { return cosent(left, x, scores, 4, 0.5, 0.7, ignored, g); },
        right);
  // Exponents far beyond what exp holds.
  EXPECT_TRUE(std::isfinite(cosent(left, right, scores, 4, 1e-4, 1, ignored, ignored)));
}

TEST(Losses, KnownValues) {
  std::vector<float> g(4);
  const std::vector<std::int32_t> label = {1};
  EXPECT_NEAR(cross_entropy(std::vector<float>{0, 0, 0, 0}, label, 4, 0, 1, g), std::log(4.0),
              1e-12);
  EXPECT_NEAR(
      distillation(std::vector<float>{1, 2, 3, 4}, std::vector<float>{1, 2, 3, 4}, 4, 2, 1, g), 0,
      1e-12);
  EXPECT_NEAR(binary_distillation(std::vector<float>{1, -90}, std::vector<float>{1, -90}, 2, 1, g),
              0, 1e-12);
  // Logits far beyond what exp holds.
  EXPECT_NEAR(cross_entropy(std::vector<float>{0, 5000, 0, 0}, label, 4, 0, 1, g), 0, 1e-12);
  EXPECT_NEAR(binary_cross_entropy(std::vector<float>{5000}, std::vector<float>{0}, 1, g), 5000,
              1e-9);
  EXPECT_NEAR(cosine_distance(std::vector<float>{1, 0}, std::vector<float>{0, 3}, 2, 1, g), 1,
              1e-12);
}

}  // namespace
}  // namespace tack
