#include "train/losses.h"

#include <cmath>
#include <fstream>
#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "base/json.h"
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
  for (double temperature : {1.0, 3.0})
    check([&](const auto& x,
              auto& g) { return binary_distillation(x, teacher, temperature, 0.7, g); },
          normal(15, 9));
  check([&](const auto& x, auto& g) { return mean_squared(x, teacher, 5, 0.7, g); }, normal(15, 5));
  check([&](const auto& x, auto& g) { return cosine_distance(x, teacher, 5, 0.7, g); },
        normal(15, 6));
  // Another width than the student's, and several sequences.
  const auto wide = normal(7 * 16, 7);
  const std::vector<std::int64_t> starts = {0, 3, 4, 7};
  ThreadPool pool(2);
  check([&](const auto& x, auto& g) { return relation(x, 8, wide, 16, 2, starts, 0.7, g, pool); },
        normal(7 * 8, 8));
  check([&](const auto& x, auto& g) { return similarity(x, 5, wide, 16, 0.7, g); }, normal(35, 9));
}

// The definition, in f64 and one sequence; adds the gradient.
double relation_f64(const std::vector<double>& student, const std::vector<double>& teacher,
                    std::size_t n, std::size_t heads, std::vector<double>& gradient) {
  const auto probabilities = [&](const std::vector<double>& x, std::size_t head, std::size_t i) {
    const std::size_t cols = x.size() / n, dim = cols / heads;
    std::vector<double> p(n);
    double sum = 0;
    for (std::size_t j = 0; j < n; ++j) {
      double dot = 0;
      for (std::size_t d = head * dim; d < (head + 1) * dim; ++d)
        dot += x[i * cols + d] * x[j * cols + d];
      sum += p[j] = std::exp(dot / std::sqrt(static_cast<double>(dim)));
    }
    for (double& v : p) v /= sum;
    return p;
  };
  const std::size_t cols = student.size() / n, dim = cols / heads;
  const double share = 1 / static_cast<double>(heads * n);
  double loss = 0;
  for (std::size_t head = 0; head < heads; ++head)
    for (std::size_t i = 0; i < n; ++i) {
      const auto p = probabilities(teacher, head, i), q = probabilities(student, head, i);
      for (std::size_t j = 0; j < n; ++j) {
        loss += share * p[j] * std::log(p[j] / q[j]);
        const double slope = share * (q[j] - p[j]) / std::sqrt(static_cast<double>(dim));
        for (std::size_t d = head * dim; d < (head + 1) * dim; ++d) {
          gradient[i * cols + d] += slope * student[j * cols + d];
          gradient[j * cols + d] += slope * student[i * cols + d];
        }
      }
    }
  return loss;
}

TEST(Losses, RelationsMatchTheDefinitionWithTheSameBitsForAnyThreads) {
  const std::vector<std::int64_t> starts = {0, 1, 1, 18, 58, 63};
  constexpr std::size_t kRows = 63, kHeads = 4, kStudent = 24, kTeacher = 64;
  const auto student = normal(kRows * kStudent, 1), teacher = normal(kRows * kTeacher, 2);
  std::vector<float> one(student.size()), three(student.size());
  ThreadPool single(1), several(3);
  const double value =
      relation(student, kStudent, teacher, kTeacher, kHeads, starts, 1, one, single);
  EXPECT_EQ(value,
            relation(student, kStudent, teacher, kTeacher, kHeads, starts, 1, three, several));
  EXPECT_EQ(one, three);
  double expected = 0;
  for (std::size_t s = 0; s + 1 < starts.size(); ++s) {
    const auto rows = [&](const std::vector<float>& x, std::size_t cols) {
      return std::vector<double>(x.begin() + starts[s] * static_cast<std::int64_t>(cols),
                                 x.begin() + starts[s + 1] * static_cast<std::int64_t>(cols));
    };
    const auto mine = rows(student, kStudent);
    std::vector<double> gradient(mine.size());
    const std::size_t n = mine.size() / kStudent;
    if (n > 0) expected += relation_f64(mine, rows(teacher, kTeacher), n, kHeads, gradient);
    for (std::size_t i = 0; i < gradient.size(); ++i)
      EXPECT_NEAR(static_cast<double>(one[static_cast<std::size_t>(starts[s]) * kStudent + i]),
                  gradient[i], 2e-5);
  }
  EXPECT_NEAR(value, expected, 1e-5 * expected);
}

// Written by tools/golden/gradients.py: the losses on given rows in PyTorch, f64.
TEST(Losses, MatchPyTorch) {
  std::ifstream file(std::string(TACK_SOURCE_DIR) + "/src/train/golden/losses.json");
  ASSERT_TRUE(file);
  const Json golden = Json::parse(file);
  const auto student = golden["student"].get<std::vector<float>>(),
             teacher = golden["teacher"].get<std::vector<float>>(),
             narrow = golden["narrow"].get<std::vector<float>>();
  const auto starts = golden["starts"].get<std::vector<std::int64_t>>();
  const auto cols = golden["cols"].get<std::int64_t>(), few = golden["few"].get<std::int64_t>();
  ThreadPool pool(2);
  const auto expect = [&](const char* name, const std::vector<float>& x, const Loss& loss) {
    std::vector<float> gradient(x.size());
    const auto expected = golden[name]["gradient"].get<std::vector<double>>();
    EXPECT_NEAR(loss(x, gradient), golden[name]["value"].get<double>(), 1e-5) << name;
    ASSERT_EQ(expected.size(), gradient.size()) << name;
    for (std::size_t i = 0; i < x.size(); ++i)
      EXPECT_NEAR(static_cast<double>(gradient[i]), expected[i], 1e-5) << name << " " << i;
  };
  expect("mean_squared", student,
         [&](const auto& x, auto& g) { return mean_squared(x, teacher, cols, 1, g); });
  expect("cosine", student,
         [&](const auto& x, auto& g) { return cosine_distance(x, teacher, cols, 1, g); });
  expect("relation", narrow, [&](const auto& x, auto& g) {
    return relation(x, few, teacher, cols, 4, starts, 1, g, pool);
  });
  expect("similarity", narrow,
         [&](const auto& x, auto& g) { return similarity(x, few, teacher, cols, 1, g); });
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
