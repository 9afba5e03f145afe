#include "gateway/keys.h"

#include <cstdlib>
#include <set>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "gateway/rate_limiter.h"

namespace tack::gateway {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using std::chrono::sys_days;

class Keys : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("tack_keys_test_" + std::to_string(::getpid()));
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }
  // A file with one key more each time; returns the key.
  std::string add(Key key) {
    const std::string secret = make_key().value();
    key.hash = sha256(secret);
    keys_.push_back(std::move(key));
    EXPECT_TRUE(write_keys(file_(), keys_));
    return secret;
  }
  fs::path file_() const { return directory_ / "keys.toml"; }
  std::unique_ptr<KeyRing> ring(std::chrono::milliseconds every = 0ms) const {
    auto opened = KeyRing::open(file_(), every);
    EXPECT_TRUE(opened) << opened.error().message;
    return opened ? *std::move(opened) : nullptr;
  }
  fs::path directory_;
  std::vector<Key> keys_;
};

TEST_F(Keys, AreLongRandomAndUnlikeEachOther) {
  std::set<std::string> made;
  for (int i = 0; i < 100; ++i) {
    const std::string key = make_key().value();
    EXPECT_EQ(key.size(), 3 + 64u);
    EXPECT_TRUE(key.starts_with("tk-"));
    EXPECT_EQ(key.find_first_not_of("0123456789abcdef", 3), std::string::npos);
    made.insert(key);
  }
  EXPECT_EQ(made.size(), 100u);
}

TEST_F(Keys, ComeBackFromTheirFile) {
  const Key all{.name = "team.a@x",
                .created = sys_days(2025y / 11 / 3) + 9h + 12min + 44s,
                .expires = sys_days(2099y / 1 / 1),
                .requests_per_minute = 60,
                .tokens_per_minute = 1'000'000'000'000,
                .privacy = PrivacyMode::kLocalOnly,
                .upstreams = {"a", "b"},
                .models = {"auto", "a/\"m\""}};
  const std::string secret = add(all), other = add({.name = "plain"});
  struct stat status{};
  ASSERT_EQ(::stat(file_().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  const std::string text = read_file(file_()).value();
  EXPECT_FALSE(text.contains(secret.substr(3)));
  EXPECT_TRUE(text.contains("sha256:" + sha256_hex(secret)));  // what `sha256sum` says of the key

  const auto keys = ring();
  const auto found = keys->find(secret);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ((*found)->name, all.name);
  EXPECT_EQ((*found)->created, all.created);
  EXPECT_EQ((*found)->expires, all.expires);
  EXPECT_EQ((*found)->requests_per_minute, all.requests_per_minute);
  EXPECT_EQ((*found)->tokens_per_minute, all.tokens_per_minute);
  EXPECT_EQ((*found)->privacy, PrivacyMode::kLocalOnly);
  EXPECT_EQ((*found)->upstreams, all.upstreams);
  EXPECT_EQ((*found)->models, all.models);
  EXPECT_TRUE((*found)->may_ask("auto"));
  EXPECT_FALSE((*found)->may_ask("aut"));

  const auto plain = keys->find(other);
  ASSERT_TRUE(plain);
  EXPECT_EQ((*plain)->name, "plain");
  EXPECT_EQ((*plain)->requests_per_minute, 0);
  EXPECT_EQ((*plain)->privacy, PrivacyMode::kAllow);
  EXPECT_TRUE((*plain)->may_ask("anything"));
}

TEST_F(Keys, WrongMissingAndExpiredOnesAreRefused) {
  const std::string good = add({.name = "a"});
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  const std::string past = add({.name = "past", .expires = now}),
                    future = add({.name = "future", .expires = now + 1h});
  const auto keys = ring();
  EXPECT_TRUE(keys->find(good));
  EXPECT_TRUE(keys->find(future));
  std::string almost = good;
  almost.back() = almost.back() == '0' ? '1' : '0';
  for (const auto& [bearer, says] : {std::pair{almost, "no such"},
                                     {good + "0", "no such"},
                                     {good.substr(3), "no such"},
                                     {std::string(), "no API key"},
                                     {past, "expired"}}) {
    const auto found = keys->find(bearer);
    ASSERT_FALSE(found) << bearer;
    EXPECT_EQ(found.error().status, 401);
    EXPECT_EQ(found.error().code, "invalid_api_key");
    EXPECT_TRUE(found.error().message.contains(says)) << found.error().message;
    EXPECT_TRUE(bearer.empty() || !found.error().message.contains(bearer));
  }
}

TEST_F(Keys, AFileThatOthersCanReadIsRefused) {
  add({.name = "a"});
  for (const mode_t mode : {0604U, 0640U, 0660U, 0602U, 0601U}) {
    ASSERT_EQ(::chmod(file_().c_str(), mode), 0);
    const auto keys = KeyRing::open(file_());
    ASSERT_FALSE(keys) << mode;
    EXPECT_EQ(keys.error().code, ErrorCode::kRefused);
    EXPECT_TRUE(keys.error().message.contains("chmod 600 " + file_().string()));
  }
  ASSERT_EQ(::chmod(file_().c_str(), 0400), 0);
  EXPECT_TRUE(KeyRing::open(file_()));
  EXPECT_EQ(KeyRing::open(directory_ / "none").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(KeyRing::open(directory_).error().code, ErrorCode::kRefused);
}

TEST_F(Keys, AreReadAgainWhenTheFileChanges) {
  const std::string first = add({.name = "a"});
  const auto keys = ring();
  const auto held = keys->find(first);
  ASSERT_TRUE(held);
  const std::string second = add({.name = "b"});
  EXPECT_TRUE(keys->find(second));
  // What has become wrong changes nothing, and neither does a file that is gone.
  ASSERT_TRUE(write_file(file_(), "[a\n"));
  ASSERT_EQ(::chmod(file_().c_str(), 0600), 0);
  EXPECT_TRUE(keys->find(second));
  fs::remove(file_());
  EXPECT_TRUE(keys->find(second));
  // Rights that others were given after the start: the same.
  keys_.erase(keys_.begin());
  ASSERT_TRUE(write_keys(file_(), keys_));
  ASSERT_EQ(::chmod(file_().c_str(), 0644), 0);
  EXPECT_TRUE(keys->find(first));
  ASSERT_EQ(::chmod(file_().c_str(), 0600), 0);
  EXPECT_FALSE(keys->find(first));
  EXPECT_TRUE(keys->find(second));
  EXPECT_EQ(keys->size(), 1u);
  EXPECT_EQ((*held)->name, "a");  // whoever holds a removed key may finish
}

TEST_F(Keys, TheFileIsNotLookedAtForEachRequest) {
  add({.name = "a"});
  const auto keys = ring(1h);
  const std::string second = add({.name = "b"});
  EXPECT_FALSE(keys->find(second));
}

TEST_F(Keys, ManyThreadsFindThemWhileTheFileChanges) {
  const std::string secret = add({.name = "a"});
  const auto keys = ring();
  std::atomic<int> lost = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < 2000; ++n)
        if (const auto found = keys->find(secret); !found || (*found)->name != "a") ++lost;
    });
  for (int i = 0; i < 20; ++i) add({.name = "k" + std::to_string(i)});
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(lost, 0);
  EXPECT_TRUE(keys->find(secret));
  EXPECT_EQ(keys->size(), 21u);
}

TEST_F(Keys, OfTwoProcessesThatChangeTheFileNoneIsLost) {
  constexpr int kEach = 20;
  std::vector<std::thread> threads;  // a lock is of its open file, so threads stand for processes
  for (int i = 0; i < 2; ++i)
    threads.emplace_back([&, i] {
      for (int n = 0; n < kEach; ++n) {
        const auto lock = KeyFileLock::take(file_());
        ASSERT_TRUE(lock);
        auto keys = read_keys(file_()).value_or(std::vector<Key>());
        const std::string name = fmt::format("k{}-{}", i, n);
        keys.push_back({.name = name, .hash = sha256(name)});
        ASSERT_TRUE(write_keys(file_(), keys));
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(read_keys(file_()).value().size(), 2u * kEach);
}

TEST_F(Keys, WhatNoFileCouldHoldIsNotWritten) {
  const std::string secret = add({.name = "a"});
  for (const char* name : {"", "a b", "a/b", "\n"})
    EXPECT_FALSE(write_keys(file_(), {{.name = name, .hash = sha256("x")}})) << name;
  EXPECT_FALSE(write_keys(file_(), {{.name = "b", .models = {""}}}));
  EXPECT_TRUE(ring()->find(secret));
}

TEST_F(Keys, MistakesInTheFileAreSaidWithTheirLine) {
  const std::string hash = "hash = \"sha256:" + sha256_hex("x") + "\"\n";
  const std::tuple<std::string, const char*, const char*> wrong[] = {
      {"[a]\n", "k:1: ", "hash is missing"},
      {"[a]\nhash = 'sha256:12'\n", "k:2: ", "64 hexadecimal digits"},
      {"[a]\nhash = 'sha256:" + std::string(64, 'g') + "'\n", "k:2: ", "64 hexadecimal digits"},
      {"[a]\nhash = 'tk-" + std::string(64, '0') + "'\n", "k:2: ", "64 hexadecimal digits"},
      {"[a]\n" + hash + "[b]\n" + hash, "k:3: ", "another key's hash"},
      {"[a]\n" + hash + "request_per_minute = 1\n", "k:3: ", "mean 'requests_per_minute'"},
      {"[a]\n" + hash + "requests_per_minute = -1\n", "k:3: ", "whole number"},
      {"[a]\n" + hash + "expires = '2030-01-01'\n", "k:3: ", "without quotes"},
      {"[a]\n" + hash + "expires = 2030-02-30\n", "k:3: ", ""},
      {"[a]\n" + hash + "upstreams = []\n", "k:3: ", "list"},
      {"['a/b']\n" + hash, "k:1: ", "'/'"},
      {"a = 1\n", "k:1: ", "[NAME]"},
      {"[a\n", "k:1: ", "column"}};
  for (const auto& [text, where, says] : wrong) {
    const auto keys = parse_keys(text, "k");
    ASSERT_FALSE(keys) << text;
    EXPECT_TRUE(keys.error().message.starts_with(where)) << keys.error().message;
    EXPECT_TRUE(keys.error().message.contains(says)) << keys.error().message;
  }
  EXPECT_TRUE(parse_keys("", "k").value().empty());
  const auto offset = parse_keys("[a]\n" + hash + "expires = 2030-01-01T01:30:00+02:00\n", "k");
  ASSERT_TRUE(offset);
  EXPECT_EQ(offset->front().expires, sys_days(2029y / 12 / 31) + 23h + 30min);
}

TEST(Bearer, IsTakenFromItsHeader) {
  const auto bearer = [](const char* value) {
    net::Headers headers;
    headers.set("Authorization", value);
    return std::string(bearer_of(headers));
  };
  EXPECT_EQ(bearer("Bearer tk-1"), "tk-1");
  EXPECT_EQ(bearer("bearer  tk-1 "), "tk-1");
  for (const char* none : {"", "Bearer", "Bearer ", "Basic tk-1", "tk-1"})
    EXPECT_EQ(bearer(none), "") << none;
  EXPECT_EQ(bearer_of(net::Headers()), "");
}

// With TACK_BENCH=1: what finding a key costs.
TEST_F(Keys, Bench) {
  if (std::getenv("TACK_BENCH") == nullptr) GTEST_SKIP() << "set TACK_BENCH=1";
  std::string secret;
  for (int i = 0; i < 100; ++i) secret = add({.name = "k" + std::to_string(i)});
  const auto keys = ring(1s);
  constexpr int kRounds = 1'000'000;
  const auto begin = std::chrono::steady_clock::now();
  int found = 0;
  for (int i = 0; i < kRounds; ++i) found += keys->find(secret).has_value();
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
  EXPECT_EQ(found, kRounds);
  fmt::print("{:.3f} us each\n", took.count() / kRounds);
}

std::string header(const Admission& admission, const char* name) {
  const std::string* value = admission.headers.find(name);
  return value == nullptr ? "" : *value;
}

// The time of a simulation.
RateLimiter::Clock::time_point at(std::chrono::milliseconds time) {
  return RateLimiter::Clock::time_point(1h + time);
}

TEST(RateLimiter, GivesAMinutesRequestsAtOnceThenTheirRate) {
  RateLimiter limiter;
  const Key key{.name = "a", .requests_per_minute = 60};
  for (int i = 0; i < 60; ++i) {
    const Admission admission = limiter.admit(key, at(0s));
    ASSERT_FALSE(admission.refused) << i;
    EXPECT_EQ(header(admission, "x-ratelimit-limit-requests"), "60");
    EXPECT_EQ(header(admission, "x-ratelimit-remaining-requests"), std::to_string(59 - i));
    EXPECT_EQ(header(admission, "x-ratelimit-limit-tokens"), "");
  }
  const Admission refused = limiter.admit(key, at(0s));
  ASSERT_TRUE(refused.refused);
  EXPECT_EQ(refused.refused->status, 429);
  EXPECT_EQ(refused.refused->type, "requests");
  EXPECT_EQ(refused.refused->code, "rate_limit_exceeded");
  EXPECT_EQ(refused.refused->retry_after, 1000ms);
  EXPECT_EQ(header(refused, "x-ratelimit-remaining-requests"), "0");
  EXPECT_EQ(header(refused, "x-ratelimit-reset-requests"), "1m0s");
  EXPECT_EQ(limiter.admit(key, at(400ms)).refused->retry_after, 600ms);
  EXPECT_TRUE(limiter.admit(key, at(999ms)).refused);
  EXPECT_FALSE(limiter.admit(key, at(1s)).refused);  // at the time that was promised
  EXPECT_TRUE(limiter.admit(key, at(1s)).refused);
}

TEST(RateLimiter, NeverGivesMoreThanTheRateAndTheFirstMinute) {
  RateLimiter limiter;
  const Key key{.name = "a", .requests_per_minute = 7};
  int admitted = 0;
  for (int ms = 0; ms < 600'000; ms += 13)
    admitted += limiter.admit(key, at(std::chrono::milliseconds(ms))).refused ? 0 : 1;
  EXPECT_LE(admitted, 7 + 70);
  EXPECT_GE(admitted, 7 + 69);  // a bucket that is asked all the time loses nothing
}

TEST(RateLimiter, IdleTimeFillsTheBucketOnceNotTwice) {
  RateLimiter limiter;
  const Key key{.name = "a", .requests_per_minute = 3};
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(limiter.admit(key, at(0s)).refused);
  int admitted = 0;
  for (int i = 0; i < 10; ++i) admitted += limiter.admit(key, at(24h)).refused ? 0 : 1;
  EXPECT_EQ(admitted, 3);
}

TEST(RateLimiter, TokensAreChargedAfterwardsAndMayGoBelowNothing) {
  RateLimiter limiter;
  const Key key{.name = "a", .tokens_per_minute = 6000};  // 100 a second
  const Admission first = limiter.admit(key, at(0s));
  EXPECT_FALSE(first.refused);
  EXPECT_EQ(header(first, "x-ratelimit-remaining-tokens"), "6000");
  EXPECT_EQ(header(first, "x-ratelimit-reset-tokens"), "0s");
  limiter.charge(key, 5000, at(0s));
  EXPECT_EQ(header(limiter.admit(key, at(0s)), "x-ratelimit-remaining-tokens"), "1000");
  limiter.charge(key, 3000, at(0s));  // now 2000 below
  const Admission refused = limiter.admit(key, at(0s));
  ASSERT_TRUE(refused.refused);
  EXPECT_EQ(refused.refused->type, "tokens");
  EXPECT_EQ(refused.refused->retry_after, 20'010ms);
  EXPECT_EQ(header(refused, "x-ratelimit-remaining-tokens"), "0");
  EXPECT_EQ(header(refused, "x-ratelimit-reset-tokens"), "1m20s");
  EXPECT_TRUE(limiter.admit(key, at(20s)).refused);
  EXPECT_FALSE(limiter.admit(key, at(20'010ms)).refused);
}

TEST(RateLimiter, ARequestRefusedForItsTokensUsesNoneUp) {
  RateLimiter limiter;
  const Key key{.name = "a", .requests_per_minute = 2, .tokens_per_minute = 60};
  limiter.charge(key, 120, at(0s));
  for (int i = 0; i < 5; ++i) {
    const Admission refused = limiter.admit(key, at(0s));
    ASSERT_TRUE(refused.refused);
    EXPECT_EQ(header(refused, "x-ratelimit-remaining-requests"), "2");
    EXPECT_EQ(refused.refused->retry_after, 61s);
  }
  EXPECT_FALSE(limiter.admit(key, at(61s)).refused);
}

TEST(RateLimiter, KeysHaveTheirOwnBucketsAndLimitsMayChange) {
  RateLimiter limiter;
  Key a{.name = "a", .requests_per_minute = 1}, b{.name = "b", .requests_per_minute = 1};
  EXPECT_FALSE(limiter.admit(a, at(0s)).refused);
  EXPECT_FALSE(limiter.admit(b, at(0s)).refused);
  EXPECT_TRUE(limiter.admit(a, at(0s)).refused);
  a.requests_per_minute = 600;
  EXPECT_TRUE(limiter.admit(a, at(0s)).refused);
  EXPECT_FALSE(limiter.admit(a, at(100ms)).refused);
  EXPECT_FALSE(limiter.admit(a, at(1h)).refused);  // 599 left
  a.requests_per_minute = 2;
  EXPECT_EQ(header(limiter.admit(a, at(1h)), "x-ratelimit-remaining-requests"), "1");
  const Key none{.name = "none"};
  for (int i = 0; i < 1000; ++i) {
    const Admission admission = limiter.admit(none, at(0s));
    EXPECT_FALSE(admission.refused);
    EXPECT_EQ(admission.headers.size(), 0u);
  }
}

TEST(RateLimiter, AClockThatStandsOrGoesBackGivesNothing) {
  RateLimiter limiter;
  const Key key{.name = "a", .requests_per_minute = 60};
  for (int i = 0; i < 60; ++i) EXPECT_FALSE(limiter.admit(key, at(10s)).refused);
  EXPECT_TRUE(limiter.admit(key, at(0s)).refused);
  EXPECT_TRUE(limiter.admit(key, at(10s)).refused);
  EXPECT_FALSE(limiter.admit(key, at(11s)).refused);
}

TEST(RateLimiter, ThreadsShareOneLimit) {
  RateLimiter limiter;
  const Key key{.name = "a", .requests_per_minute = 1000};
  std::atomic<int> admitted = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < 500; ++n) admitted += limiter.admit(key, at(0s)).refused ? 0 : 1;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(admitted, 1000);
}

TEST(RateLimiter, WritesTimesAsTheClientsKnowThem) {
  const std::pair<std::chrono::milliseconds, const char*> times[] = {
      {0ms, "0s"},       {-5ms, "0s"},   {120ms, "120ms"},      {1s, "1s"},
      {8640ms, "8.64s"}, {6min, "6m0s"}, {72'500ms, "1m12.5s"}, {2h, "2h0m0s"}};
  for (const auto& [time, text] : times) EXPECT_EQ(reset_text(time), text);
}

}  // namespace
}  // namespace tack::gateway
