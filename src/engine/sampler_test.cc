// Sampling against the definition of each step, computed in double over the sorted vocabulary.

#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include <gtest/gtest.h>

namespace tack {
namespace {

Sampler sampler(const SamplingOptions& options, std::size_t vocab) {
  auto made = Sampler::create(options, static_cast<std::int64_t>(vocab));
  EXPECT_TRUE(made) << made.error().message;
  return *std::move(made);
}

TokenId one(Sampler& s, const Sampler::Input& input) {
  auto token = s.sample(input);
  EXPECT_TRUE(token) << token.error().message;
  return token ? token->id : -1;
}

std::vector<float> random_logits(std::size_t n, std::uint64_t seed, double spread = 2) {
  Random random(seed);
  std::vector<float> logits(n);
  for (float& v : logits) v = static_cast<float>(spread * random.normal());
  return logits;
}

// The distribution that is drawn from, by definition.
std::vector<double> distribution(const std::vector<float>& logits, const SamplingOptions& o) {
  const std::size_t n = logits.size();
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
  if (o.top_k > 0) order.resize(std::min(n, static_cast<std::size_t>(o.top_k)));
  const double top = logits[order[0]];
  std::vector<double> p(n, 0.0);
  double all = 0;
  for (const std::size_t i : order) all += p[i] = std::exp((logits[i] - top) / o.temperature);
  double sum = 0;
  std::size_t kept = 0;
  while (kept < order.size() && (o.top_p >= 1 || sum < o.top_p * all)) sum += p[order[kept++]];
  for (std::size_t i = 0; i < order.size(); ++i)
    if (i >= kept || (i > 0 && p[order[i]] < o.min_p)) p[order[i]] = 0;
  const double left = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& v : p) v /= left;
  return p;
}

// Pearson's statistic; cells with fewer than five expected are put together.
void expect_drawn_from(const std::vector<double>& p, const std::vector<std::int64_t>& counts) {
  const double n =
      static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
  double statistic = 0, rest_expected = 0, rest_seen = 0;
  int cells = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const auto seen = static_cast<double>(counts[i]);
    if (p[i] == 0) {
      EXPECT_EQ(counts[i], 0) << "token " << i << " was cut";
      continue;
    }
    if (p[i] * n < 5) {
      rest_expected += p[i] * n;
      rest_seen += seen;
      continue;
    }
    statistic += (seen - p[i] * n) * (seen - p[i] * n) / (p[i] * n);
    ++cells;
  }
  if (rest_expected > 5) {
    statistic += (rest_seen - rest_expected) * (rest_seen - rest_expected) / rest_expected;
    ++cells;
  }
  const double freedom = cells - 1;
  // Beyond four standard deviations (Wilson and Hilferty 1931).
  if (freedom > 0) {
    const double z =
        (std::cbrt(statistic / freedom) - (1 - 2 / (9 * freedom))) / std::sqrt(2 / (9 * freedom));
    EXPECT_LT(z, 4) << "chi-square " << statistic << " with " << freedom << " degrees of freedom";
  }
}

TEST(Sampler, FrequenciesAreThoseOfTheDistribution) {
  std::uint64_t seed = 11;
  for (const std::size_t vocab : {std::size_t{7}, std::size_t{100}, std::size_t{3001}}) {
    const std::vector<float> logits = random_logits(vocab, seed);
    for (const double temperature : {0.5, 1.0, 1.7}) {
      if (vocab > 1000 && temperature != 1) continue;  // for the time this takes
      for (const std::int64_t top_k : {0, 5, 60})
        for (const double top_p : {1.0, 0.9, 0.3})
          for (const double min_p : {0.0, 0.05}) {
            const SamplingOptions options{.temperature = temperature,
                                          .top_k = top_k,
                                          .top_p = top_p,
                                          .min_p = min_p,
                                          .seed = ++seed};
            SCOPED_TRACE(testing::Message() << vocab << " t " << temperature << " k " << top_k
                                            << " p " << top_p << " m " << min_p);
            Sampler s = sampler(options, vocab);
            std::vector<std::int64_t> counts(vocab);
            for (int i = 0; i < 4000; ++i)
              ++counts[static_cast<std::size_t>(one(s, {.logits = logits}))];
            expect_drawn_from(distribution(logits, options), counts);
          }
    }
  }
}

TEST(Sampler, GreedyTakesTheLowestOfEqualTokens) {
  std::vector<float> logits(500, 1.0F);
  logits[77] = logits[300] = 2.0F;
  Sampler s = sampler({.temperature = 0}, logits.size());
  EXPECT_EQ(one(s, {.logits = logits}), 77);
  logits[77] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(one(s, {.logits = logits}), 300);
  logits[499] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(one(s, {.logits = logits}), 499);
}

TEST(Sampler, TiesAtTheCutGoToLowerIds) {
  const std::vector<float> logits(1000, 0.5F);
  Sampler by_k = sampler({.top_k = 3, .seed = 1}, logits.size());
  Sampler by_p = sampler({.top_p = 0.003, .seed = 1}, logits.size());
  std::set<TokenId> seen_k, seen_p;
  for (int i = 0; i < 200; ++i) {
    seen_k.insert(one(by_k, {.logits = logits}));
    seen_p.insert(one(by_p, {.logits = logits}));
  }
  EXPECT_EQ(seen_k, (std::set<TokenId>{0, 1, 2}));
  EXPECT_LE(*seen_p.rbegin(), 3);
}

TEST(Sampler, OnlyAllowedTokens) {
  const std::vector<float> logits = random_logits(1000, 3);
  std::vector<std::uint32_t> allowed(32);
  for (const unsigned id : {3U, 64U, 999U}) allowed[id / 32] |= 1U << (id % 32);
  for (const SamplingOptions& options :
       {SamplingOptions{.temperature = 0}, SamplingOptions{.temperature = 5},
        SamplingOptions{.temperature = 5, .top_k = 50},
        SamplingOptions{.temperature = 5, .top_p = 0.999},
        SamplingOptions{.temperature = 5, .min_p = 0.001}}) {
    Sampler s = sampler(options, logits.size());
    std::set<TokenId> seen;
    for (int i = 0; i < 300; ++i) seen.insert(one(s, {.logits = logits, .allowed = allowed}));
    for (const TokenId id : seen) EXPECT_TRUE(id == 3 || id == 64 || id == 999) << id;
    EXPECT_EQ(seen.size(), options.temperature > 0 ? 3U : 1U);
  }
  Sampler s = sampler({}, logits.size());
  const auto none = s.sample({.logits = logits, .allowed = std::vector<std::uint32_t>(32)});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message, "sampling: no token is allowed here");
}

TEST(Sampler, PenaltiesByHand) {
  // The best token of the adjusted logits shows them: greedy, one competitor after the other.
  const std::vector<TokenId> prompt{0, 1}, output{2, 2, 3};
  const auto adjusted = [&](SamplingOptions options, TokenId id, float logit) {
    options.temperature = 0;
    // Bisection for the logit of an unpenalised token, 9, that draws level.
    float low = -50, high = 50;
    for (int i = 0; i < 40; ++i) {
      std::vector<float> logits(10, -1000.0F);
      logits[static_cast<std::size_t>(id)] = logit;
      logits[9] = (low + high) / 2;
      Sampler s = sampler(options, logits.size());
      (one(s, {.logits = logits, .prompt = prompt, .output = output}) == 9 ? high : low) =
          logits[9];
    }
    return low;
  };
  EXPECT_NEAR(adjusted({.repetition_penalty = 2}, 0, 3), 1.5, 1e-4);
  EXPECT_NEAR(adjusted({.repetition_penalty = 2}, 2, -3), -6, 1e-4);
  EXPECT_NEAR(adjusted({.repetition_penalty = 2}, 4, 3), 3, 1e-4);
  EXPECT_NEAR(adjusted({.repetition_penalty = 2, .repetition_window = 4}, 0, 3), 3, 1e-4);
  EXPECT_NEAR(adjusted({.repetition_penalty = 2, .repetition_window = 4}, 1, 3), 1.5, 1e-4);
  EXPECT_NEAR(adjusted({.repetition_penalty = 2, .repetition_window = -1}, 0, 3), 1.5, 1e-4);
  EXPECT_NEAR(adjusted({.repetition_penalty = 2, .repetition_window = 0}, 3, 3), 3, 1e-4);
  EXPECT_NEAR(adjusted({.presence_penalty = 0.5}, 2, 3), 2.5, 1e-4);
  EXPECT_NEAR(adjusted({.presence_penalty = 0.5}, 0, 3), 3, 1e-4);  // of the prompt alone
  EXPECT_NEAR(adjusted({.frequency_penalty = 0.5}, 2, 3), 2, 1e-4);
  EXPECT_NEAR(adjusted({.frequency_penalty = 0.5}, 3, 3), 2.5, 1e-4);
  EXPECT_NEAR(adjusted({.logit_bias = {{4, 2.5F}}}, 4, 3), 5.5, 1e-4);
  // Bias first, then the repetition penalty, then the others.
  EXPECT_NEAR(adjusted({.repetition_penalty = 2,
                        .presence_penalty = 0.25,
                        .frequency_penalty = 0.5,
                        .logit_bias = {{2, 1.0F}}},
                       2, 3),
              (3 + 1) / 2.0 - 0.25 - 2 * 0.5, 1e-4);
}

TEST(Sampler, LogprobsAreOfTheModelsDistribution) {
  std::vector<float> logits = random_logits(5000, 9);
  logits[17] = logits[4000] = 12;
  double sum = 0;
  for (const float v : logits) sum += std::exp(static_cast<double>(v));
  std::vector<std::uint32_t> allowed(157);
  allowed[0] = 2;  // token 1 alone
  Sampler s = sampler({.temperature = 0.3, .top_k = 2}, logits.size());
  const auto token = s.sample({.logits = logits, .allowed = allowed, .logprobs = 3});
  ASSERT_TRUE(token);
  EXPECT_EQ(token->id, 1);
  EXPECT_NEAR(token->logprob, logits[1] - std::log(sum), 1e-4);
  ASSERT_EQ(token->top.size(), 3U);
  EXPECT_EQ(token->top[0].id, 17);
  EXPECT_EQ(token->top[1].id, 4000);
  EXPECT_NEAR(token->top[0].logprob, 12 - std::log(sum), 1e-4);
  const auto without = s.sample({.logits = logits, .logprobs = 0});
  ASSERT_TRUE(without);
  EXPECT_TRUE(without->top.empty());
  EXPECT_LT(without->logprob, 0);
}

TEST(Sampler, TheSameSeedGivesTheSameTokens) {
  const std::vector<float> logits = random_logits(2000, 21);
  for (const SamplingOptions& options :
       {SamplingOptions{.seed = 7}, SamplingOptions{.top_k = 40, .top_p = 0.9, .seed = 7},
        SamplingOptions{.top_p = 0.9, .seed = 7}}) {
    Sampler a = sampler(options, logits.size()), b = sampler(options, logits.size());
    for (int i = 0; i < 100; ++i) EXPECT_EQ(one(a, {.logits = logits}), one(b, {.logits = logits}));
  }
}

TEST(Sampler, OptionsOutOfRangeAreNamed) {
  const auto message = [](const SamplingOptions& options) {
    const auto made = Sampler::create(options, 10);
    return made ? std::string() : made.error().message;
  };
  EXPECT_EQ(message({.temperature = -1}), "temperature = -1: must be from 0 to 100");
  EXPECT_EQ(message({.top_p = 0}), "top_p = 0: must be above 0, at most 1");
  EXPECT_EQ(message({.min_p = 2}), "min_p = 2: must be from 0 to 1");
  EXPECT_EQ(message({.logit_bias = {{10, 1.0F}}}),
            "logit_bias: token 10 is not in the vocabulary of 10");
  EXPECT_NE(message({.temperature = std::nan("")}), "");
}

// TACK_BENCH=1 prints the time per token.
TEST(Sampler, Bench) {
  if (std::getenv("TACK_BENCH") == nullptr) GTEST_SKIP() << "set TACK_BENCH=1";
  constexpr std::size_t kVocab = 128256;
  std::vector<float> flat = random_logits(kVocab, 2, 3), peaked = flat;
  for (std::size_t i = 0; i < 50; ++i) peaked[i * 2500] = 18.0F + 0.05F * static_cast<float>(i);
  const std::vector<std::pair<const char*, SamplingOptions>> cases{
      {"greedy", {.temperature = 0}},  {"temperature", {}},
      {"top_k 40", {.top_k = 40}},     {"top_k 40, top_p 0.95", {.top_k = 40, .top_p = 0.95}},
      {"top_p 0.95", {.top_p = 0.95}}, {"min_p 0.05", {.min_p = 0.05}},
  };
  // Of this thread alone, so that other programs do not count.
  const auto now = [] {
    std::timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) * 1e-3;
  };
  for (const auto& [name, options] : cases)
    for (const auto& [kind, logits] : {std::pair{"peaked", &peaked}, std::pair{"flat", &flat}}) {
      Sampler s = sampler(options, kVocab);
      std::vector<double> times;
      for (int i = 0; i < 300; ++i) {
        const double begin = now();
        one(s, {.logits = *logits});
        times.push_back(now() - begin);
      }
      std::nth_element(times.begin(), times.begin() + 150, times.end());
      std::printf("%-22s %-7s %7.1f us\n", name, kind, times[150]);
    }
}

}  // namespace
}  // namespace tack
