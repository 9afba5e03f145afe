#include "train/vocabulary_loss.h"

#include <cmath>

#include <gtest/gtest.h>

#include "base/random.h"
#include "train/losses.h"

namespace tack {
namespace {

std::vector<float> numbers(std::int64_t count, std::uint64_t seed, double size = 1) {
  Random random(seed);
  std::vector<float> out(static_cast<std::size_t>(count));
  for (float& v : out) v = static_cast<float>(size * random.normal());
  return out;
}

struct Learned {
  double loss = 0;
  std::vector<float> hidden_gradient, head_gradient;
};

struct Case {
  std::int64_t rows, vocab, dims;
  std::vector<float> hidden = numbers(rows * dims, 1), weight = numbers(vocab * dims, 2);
  std::vector<std::int32_t> targets;

  Case(std::int64_t r, std::int64_t v, std::int64_t d) : rows(r), vocab(v), dims(d) {
    Random random(3);
    for (std::int64_t i = 0; i < rows; ++i)
      targets.push_back(
          i % 7 == 3 ? -1
                     : static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocab))));
    for (float& v1 : weight) v1 *= 0.3F;
  }

  // Both gradients are added to. Sums begin with what is there, so it has a gradient's size: beside
  // 1 a sum of 65,600 small terms would lose them.
  Learned before() const {
    return {0, numbers(rows * dims, 4, 1e-3), numbers(vocab * dims, 5, 1e-3)};
  }

  Learned run(int threads) const {
    ThreadPool pool(threads);
    Learned out = before();
    VocabularyLoss loss({weight.data(), out.head_gradient.data(), vocab, dims}, false, pool);
    out.loss = loss.learn(hidden, targets, 0.01, out.hidden_gradient);
    EXPECT_NEAR(0.01 * loss.measure(hidden, targets), out.loss, 1e-12);
    return out;
  }

  // All logits at once, in f64.
  Learned by_definition() const {
    std::vector<float> logits, slope(static_cast<std::size_t>(rows * vocab), 0.0F);
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t v = 0; v < vocab; ++v) {
        double sum = 0;
        for (std::int64_t c = 0; c < dims; ++c)
          sum += static_cast<double>(at(hidden, r * dims + c)) *
                 static_cast<double>(at(weight, v * dims + c));
        logits.push_back(static_cast<float>(sum));
      }
    Learned out = before();
    out.loss = cross_entropy(logits, targets, vocab, 0, 0.01, slope);
    std::vector<double> dx(out.hidden_gradient.begin(), out.hidden_gradient.end()),
        dw(out.head_gradient.begin(), out.head_gradient.end());
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t v = 0; v < vocab; ++v)
        for (std::int64_t c = 0; c < dims; ++c) {
          const auto dy = static_cast<double>(at(slope, r * vocab + v));
          dx[static_cast<std::size_t>(r * dims + c)] +=
              dy * static_cast<double>(at(weight, v * dims + c));
          dw[static_cast<std::size_t>(v * dims + c)] +=
              dy * static_cast<double>(at(hidden, r * dims + c));
        }
    out.hidden_gradient.assign(dx.begin(), dx.end());
    out.head_gradient.assign(dw.begin(), dw.end());
    return out;
  }

  static float at(const std::vector<float>& values, std::int64_t i) {
    return values[static_cast<std::size_t>(i)];
  }
};

TEST(VocabularyLoss, IsTheCrossEntropyOfAllLogitsHoweverManyWorkersAndChunks) {
  // The last takes several chunks of rows.
  for (const Case& c : {Case(5, 7, 8), Case(40, 300, 24), Case(70, 65600, 8)}) {
    SCOPED_TRACE(c.vocab);
    const Learned one = c.run(1), expected = c.by_definition();
    EXPECT_NEAR(one.loss, expected.loss, 1e-6 * expected.loss);
    for (std::size_t i = 0; i < one.hidden_gradient.size(); ++i)
      ASSERT_NEAR(one.hidden_gradient[i], expected.hidden_gradient[i], 1e-6) << i;
    for (std::size_t i = 0; i < one.head_gradient.size(); ++i)
      ASSERT_NEAR(one.head_gradient[i], expected.head_gradient[i], 1e-6) << i;
    const Learned three = c.run(3);
    EXPECT_EQ(one.loss, three.loss);
    EXPECT_EQ(one.hidden_gradient, three.hidden_gradient);
    EXPECT_EQ(one.head_gradient, three.head_gradient);
  }
}

TEST(VocabularyLoss, AFrozenHeadHasNoGradient) {
  const Case c(20, 50, 16);
  ThreadPool pool(2);
  std::vector<float> gradient(c.hidden.size(), 0.0F);
  VocabularyLoss loss({c.weight.data(), nullptr, c.vocab, c.dims}, false, pool);
  const double sum = loss.learn(c.hidden, c.targets, 1, gradient);
  EXPECT_NEAR(sum, 100 * c.by_definition().loss, 1e-4 * sum);
  EXPECT_NE(gradient.front(), 0.0F);
}

// Student and teacher of different widths.
struct Lesson {
  std::int64_t rows = 37, vocab, dims = 24, teacher_dims = 16;
  std::vector<float> hidden = numbers(rows * dims, 1), weight = numbers(vocab * dims, 2, 0.3),
                     taught = numbers(rows * teacher_dims, 3),
                     head = numbers(vocab * teacher_dims, 4, 0.3);

  explicit Lesson(std::int64_t v) : vocab(v) {}

  Learned run(int threads) const {
    ThreadPool pool(threads);
    Learned out{0, std::vector<float>(hidden.size()), std::vector<float>(weight.size())};
    VocabularyDistillation loss({weight.data(), out.head_gradient.data(), vocab, dims},
                                {head.data(), nullptr, vocab, teacher_dims}, false, pool);
    out.loss = loss.learn(hidden, taught, 0.5, out.hidden_gradient);
    EXPECT_NEAR(0.5 * loss.measure(hidden, taught), out.loss, 1e-9 * out.loss);
    return out;
  }

  // sum p (log p - log q) in f64, all logits at once.
  double by_definition(const std::vector<float>& x, const std::vector<float>& w) const {
    double sum = 0;
    for (std::int64_t r = 0; r < rows; ++r) {
      const auto p = log_softmax(taught, head, r, teacher_dims), q = log_softmax(x, w, r, dims);
      for (std::size_t v = 0; v < p.size(); ++v) sum += std::exp(p[v]) * (p[v] - q[v]);
    }
    return 0.5 * sum;
  }

  std::vector<double> log_softmax(const std::vector<float>& x, const std::vector<float>& w,
                                  std::int64_t row, std::int64_t width) const {
    std::vector<double> z(static_cast<std::size_t>(vocab));
    double sum = 0;
    for (std::size_t v = 0; v < z.size(); ++v) {
      for (std::int64_t c = 0; c < width; ++c)
        z[v] += static_cast<double>(Case::at(x, row * width + c)) *
                static_cast<double>(Case::at(w, static_cast<std::int64_t>(v) * width + c));
      sum += std::exp(z[v]);
    }
    for (double& v : z) v -= std::log(sum);
    return z;
  }
};

TEST(VocabularyDistillation, IsTheDivergenceOfAllLogitsAndItsGradient) {
  for (const std::int64_t vocab : {7, 300, 65600}) {
    SCOPED_TRACE(vocab);
    const Lesson lesson(vocab);
    const Learned one = lesson.run(1);
    EXPECT_NEAR(one.loss, lesson.by_definition(lesson.hidden, lesson.weight), 1e-5 * one.loss);
    const Learned three = lesson.run(3);
    EXPECT_EQ(one.loss, three.loss);
    EXPECT_EQ(one.hidden_gradient, three.hidden_gradient);
    EXPECT_EQ(one.head_gradient, three.head_gradient);
    if (vocab > 1000) continue;
    constexpr float kStep = 1e-2F;
    const auto slope = [&](std::vector<float> Lesson::* values, std::size_t i) {
      Lesson up = lesson, down = lesson;
      (up.*values)[i] += kStep;
      (down.*values)[i] -= kStep;
      return (up.by_definition(up.hidden, up.weight) -
              down.by_definition(down.hidden, down.weight)) /
             (2 * static_cast<double>(kStep));
    };
    for (const std::size_t i : {0U, 25U, 100U}) {
      EXPECT_NEAR(one.hidden_gradient[i], slope(&Lesson::hidden, i), 1e-4);
      EXPECT_NEAR(one.head_gradient[i], slope(&Lesson::weight, i), 1e-4);
    }
  }
}

TEST(VocabularyDistillation, OfTheTeacherItselfIsNothing) {
  const Lesson lesson(50);
  ThreadPool pool(2);
  const VocabularyHead head{lesson.head.data(), nullptr, 50, lesson.teacher_dims};
  VocabularyDistillation loss(head, head, false, pool);
  EXPECT_NEAR(loss.measure(lesson.taught, lesson.taught), 0, 1e-12);
}

}  // namespace
}  // namespace tack
