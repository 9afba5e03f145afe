#include "train/crf.h"

#include <cmath>
#include <limits>

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

const TagRules kRules({"O", "B-city", "I-city", "B-day", "I-day"});

struct Crf {
  std::vector<float> transitions = normal(25, 1), start = normal(5, 2), end = normal(5, 3),
                     emissions = normal(20, 4);
  CrfScores scores() const { return {transitions, start, end}; }
};

bool valid(const std::vector<std::int32_t>& tags) {
  std::int64_t before = -1;
  for (std::int32_t tag : tags) {
    if (!kRules.allowed(before, tag)) return false;
    before = tag;
  }
  return true;
}

double score(const Crf& crf, const std::vector<std::int32_t>& tags) {
  double sum = static_cast<double>(crf.start[static_cast<std::size_t>(tags.front())]) +
               static_cast<double>(crf.end[static_cast<std::size_t>(tags.back())]);
  for (std::size_t i = 0; i < tags.size(); ++i) {
    const auto y = static_cast<std::size_t>(tags[i]);
    sum += static_cast<double>(crf.emissions[i * 5 + y]);
    if (i > 0)
      sum += static_cast<double>(crf.transitions[static_cast<std::size_t>(tags[i - 1]) * 5 + y]);
  }
  return sum;
}

// All 625 sequences of four tags.
template <class Body>
void for_sequences(const Body& body) {
  for (std::int32_t code = 0; code < 625; ++code)
    body(std::vector<std::int32_t>{code % 5, code / 5 % 5, code / 25 % 5, code / 125});
}

double loss(const Crf& crf, const std::vector<std::int32_t>& tags) {
  std::vector<float> g(20), t(25), s(5), e(5);
  return CrfLikelihood(kRules, crf.scores()).loss(crf.emissions, tags, 1, g, {t, s, e});
}

TEST(Crf, LossIsThatOfAllSequencesCounted) {
  const Crf crf;
  double total = 0;
  for_sequences([&](const auto& tags) {
    if (valid(tags)) total += std::exp(score(crf, tags));
  });
  for (const auto& tags : {std::vector<std::int32_t>{0, 1, 2, 3}, {3, 4, 4, 0}, {0, 0, 0, 0}})
    EXPECT_NEAR(loss(crf, tags), std::log(total) - score(crf, tags), 1e-5);
}

TEST(Crf, GradientsMatchFiniteDifferences) {
  Crf crf;
  const std::vector<std::int32_t> tags = {0, 1, 2, 3};
  std::vector<float> g(20), t(25), s(5), e(5);
  CrfLikelihood(kRules, crf.scores()).loss(crf.emissions, tags, 0.7, g, {t, s, e});
  const auto check = [&](std::vector<float>& x, const std::vector<float>& gradient) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      const float before = x[i], h = 0.0078125F;
      x[i] = before + h;
      const double above = loss(crf, tags);
      x[i] = before - h;
      const double below = loss(crf, tags);
      x[i] = before;
      EXPECT_NEAR(static_cast<double>(gradient[i]),
                  0.7 * (above - below) / (2 * static_cast<double>(h)), 1e-4);
    }
  };
  check(crf.emissions, g);
  check(crf.transitions, t);
  check(crf.start, s);
  check(crf.end, e);
}

TEST(Crf, DecodingFindsTheBestAllowedSequence) {
  for (std::uint64_t seed = 10; seed < 30; ++seed) {
    Crf crf;
    crf.emissions = normal(20, seed);
    double most = -std::numeric_limits<double>::infinity();
    std::vector<std::int32_t> best;
    for_sequences([&](const auto& tags) {
      if (valid(tags) && score(crf, tags) > most) {
        most = score(crf, tags);
        best = tags;
      }
    });
    EXPECT_EQ(TagDecoder(kRules, crf.scores()).best(crf.emissions), best);
  }
  // Without learned scores only the rules count: the first I-city may not begin.
  const std::vector<float> emissions = {1, 0, 5, 0, 0, 0, 0, 5, 0, 0};
  EXPECT_EQ(TagDecoder(kRules, {}).best(emissions), (std::vector<std::int32_t>{1, 2}));
  EXPECT_TRUE(TagDecoder(kRules, {}).best({}).empty());
}

TEST(Crf, SpansAsConllevalReadsThem) {
  const auto spans = [](std::vector<std::int32_t> tags) { return tag_spans(kRules, tags); };
  EXPECT_EQ(spans({0, 1, 2, 1, 0, 3, 4}),
            (std::vector<Span>{{1, 3, "city"}, {3, 4, "city"}, {5, 7, "day"}}));
  EXPECT_EQ(spans({2, 2, 4}), (std::vector<Span>{{0, 2, "city"}, {2, 3, "day"}}));
  EXPECT_TRUE(spans({0, 0}).empty());
}

}  // namespace
}  // namespace tack
