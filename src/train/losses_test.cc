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
  const std::vector<std::int32_t> any = {1, 4};
  for (double smoothing : {0.0, 0.1})
    check([&](const auto& x, auto& g) { return cross_entropy_any(x, any, smoothing, 0.7, g); },
          normal(7, 9));
  const std::vector<float> targets = {0, 1, 1, 0.3F, 0, 1};
  check([&](const auto& x, auto& g) { return binary_cross_entropy(x, targets, 0.7, g); },
        normal(6, 2));
  const auto teacher = normal(15, 3);
  for (double temperature : {1.0, 4.0})
    check([&](const auto& x, auto& g) { return distillation(x, teacher, 5, temperature, 0.7, g); },
          normal(15, 4));
  check([&](const auto& x, auto& g) { return mean_squared(x, teacher, 5, 0.7, g); }, normal(15, 5));
  check([&](const auto& x, auto& g) { return cosine_distance(x, teacher, 5, 0.7, g); },
        normal(15, 6));
  const auto wide = normal(3 * 16, 7);  // another width than the student's
  check([&](const auto& x, auto& g) { return relation(x, 8, wide, 16, 2, 0.7, g); }, normal(24, 8));
}

TEST(Losses, ContrastiveGradientsOfBothSides) {
  const auto keys = normal(12, 2), queries = normal(12, 1);
  std::vector<float> ignored(12);
  check([&](const auto& x, auto& g) { return contrastive(x, keys, 4, 0.5, 0.7, g, ignored); },
        queries);
  check([&](const auto& x, auto& g) { return contrastive(queries, x, 4, 0.5, 0.7, ignored, g); },
        keys);
}

TEST(Losses, KnownValues) {
  std::vector<float> g(4);
  const std::vector<std::int32_t> label = {1};
  EXPECT_NEAR(cross_entropy(std::vector<float>{0, 0, 0, 0}, label, 4, 0, 1, g), std::log(4.0),
              1e-12);
  EXPECT_NEAR(
      distillation(std::vector<float>{1, 2, 3, 4}, std::vector<float>{1, 2, 3, 4}, 4, 2, 1, g), 0,
      1e-12);
  // Logits far beyond what exp holds.
  EXPECT_NEAR(cross_entropy(std::vector<float>{0, 5000, 0, 0}, label, 4, 0, 1, g), 0, 1e-12);
  const std::vector<std::int32_t> two = {1, 2};
  EXPECT_NEAR(cross_entropy_any(std::vector<float>{0, 0, 0, 0}, two, 0, 1, g), std::log(2.0),
              1e-12);
  EXPECT_NEAR(cross_entropy_any(std::vector<float>{0, 5000, 0, 0}, label, 0, 1, g), 0, 1e-12);
  EXPECT_NEAR(cross_entropy_any(std::vector<float>{0, 1, 2, 3}, label, 0.1, 1, g),
              cross_entropy(std::vector<float>{0, 1, 2, 3}, label, 4, 0.1, 1, g), 1e-12);
  EXPECT_NEAR(binary_cross_entropy(std::vector<float>{5000}, std::vector<float>{0}, 1, g), 5000,
              1e-9);
  EXPECT_NEAR(cosine_distance(std::vector<float>{1, 0}, std::vector<float>{0, 3}, 2, 1, g), 1,
              1e-12);
}

}  // namespace
}  // namespace tack
