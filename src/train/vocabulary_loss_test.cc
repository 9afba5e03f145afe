#include "train/vocabulary_loss.h"

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

}  // namespace
}  // namespace tack
