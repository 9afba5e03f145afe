// What checks cost: a short prompt in a fraction of a millisecond, a long one in time that grows
// with its length and not faster.
#include <algorithm>
#include <chrono>

#include <gtest/gtest.h>

#include "guard/made_up_guard.h"

namespace tack::guard {
namespace {

using Clock = std::chrono::steady_clock;

std::shared_ptr<const Guard> all_rules() {
  GuardConfig config;
  std::vector<std::string> words;
  for (int i = 0; i < 1000; ++i) words.push_back(fmt::format("forbidden {}", i));
  config.input = {
      {.kind = CheckKind::kWords, .words = std::move(words)},
      {.kind = CheckKind::kRegex, .patterns = {"(?i)project\\s+x", "\\bID-\\d{6}\\b", "(a+)+$"}},
      {.kind = CheckKind::kUrls, .allow = {"example.com"}},
      {.kind = CheckKind::kLength, .max_chars = 100'000'000, .max_tokens = 100'000'000},
      {.kind = CheckKind::kPii},
      {.kind = CheckKind::kSecrets}};
  config.output = config.input;
  return made(config);
}

double seconds(const Guard& guard, Stage stage, const Subject& subject) {
  const auto start = Clock::now();
  const Verdict verdict = guard.judge(stage, subject, {});
  EXPECT_EQ(verdict.findings.size(), 6U);
  return std::chrono::duration<double>(Clock::now() - start).count();
}

TEST(Speed, AShortPromptTakesAFractionOfAMillisecond) {
  const auto guard = all_rules();
  std::string text;
  while (text.size() < 500) text += "Could you tell me where the parcel of my last order is now? ";
  const Subject subject = user_says(text);
  std::vector<double> times;
  for (int i = 0; i < 200; ++i) times.push_back(seconds(*guard, Stage::kInput, subject));
  std::ranges::sort(times);
  RecordProperty("p50_us", std::to_string(times[100] * 1e6));
  std::printf("six rule checks of 100 words: p50 %.1f us, p99 %.1f us\n", times[100] * 1e6,
              times[198] * 1e6);
  EXPECT_LT(times[100], 0.005) << "50 times what it takes, for busy machines and sanitizers";
}

TEST(Speed, AMegabyteTakesTimeThatGrowsWithItsLength) {
  const auto guard = all_rules();
  for (const std::string unit : {"a",    "a ",      "forbidden ", "https://", "a@",   "1",
                                 "1-",   "e\u0301", "о",          "%41",      "\xFF", "QUJD",
                                 "key=", "a.",      "+1 ",        "{\"a\":",  "= ",   "-----BEGIN ",
                                 "eyJ",  "sk-",     "DE89 ",      "\u200B"}) {
    std::string text;
    while (text.size() < (1U << 20)) text += unit;
    const double one = seconds(*guard, Stage::kInput, user_says(text));
    if (one > 0.5) std::printf("1 MiB of '%s': %.2f s\n", unit.c_str(), one);
    EXPECT_LT(one, 8.0) << unit;
  }
}

// Of a stream each piece is judged with all before it; what must wait costs the same at its end as
// at its beginning.
TEST(Speed, WhatMustWaitDoesNotCostMoreInALongAnswer) {
  const auto guard = all_rules();
  std::string text;
  while (text.size() < (1U << 20))
    text += "The parcel is on its way to you, and will arrive soon. ";
  const auto measure = [&](std::string_view answer) {
    const auto start = Clock::now();
    for (int i = 0; i < 50; ++i) EXPECT_LE(guard->held_back(answer), 1024U);
    return std::chrono::duration<double>(Clock::now() - start).count() / 50;
  };
  const double start = measure(std::string_view(text).substr(0, 8192)), end = measure(text);
  std::printf("held_back(): %.1f us of 8 KiB, %.1f us of 1 MiB\n", start * 1e6, end * 1e6);
  EXPECT_LT(end, 20 * start + 0.001);
}

}  // namespace
}  // namespace tack::guard
