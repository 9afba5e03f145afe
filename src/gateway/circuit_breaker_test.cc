#include "gateway/circuit_breaker.h"

#include <optional>

#include <gtest/gtest.h>

namespace tack::gateway {
namespace {

using std::chrono::milliseconds;
using State = CircuitBreaker::State;

class Breaker : public testing::Test {
 protected:
  void fail_once() {
    auto permit = breaker->enter(now);
    ASSERT_TRUE(permit);
    permit->failed(now);
  }
  const std::shared_ptr<CircuitBreaker> breaker =
      std::make_shared<CircuitBreaker>(3, milliseconds(1000));
  CircuitBreaker::Clock::time_point now{};
};

TEST_F(Breaker, OpensAfterFailuresInARow) {
  fail_once();
  fail_once();
  breaker->enter(now)->worked();
  fail_once();
  fail_once();
  EXPECT_EQ(breaker->state(), State::kClosed);
  EXPECT_EQ(breaker->failures(), 2);
  fail_once();
  EXPECT_EQ(breaker->state(), State::kOpen);
  now += milliseconds(400);
  const auto refused = breaker->enter(now);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), milliseconds(600));
}

TEST_F(Breaker, LetsOneTryAndCloses) {
  for (int i = 0; i < 3; ++i) fail_once();
  now += milliseconds(1000);
  auto trial = breaker->enter(now);
  ASSERT_TRUE(trial);
  EXPECT_EQ(breaker->state(), State::kHalfOpen);
  EXPECT_FALSE(breaker->enter(now)) << "one at a time";
  trial->worked();
  EXPECT_EQ(breaker->state(), State::kClosed);
  EXPECT_EQ(breaker->failures(), 0);
}

TEST_F(Breaker, AFailedTrialOpensAgain) {
  for (int i = 0; i < 3; ++i) fail_once();
  now += milliseconds(1000);
  fail_once();
  EXPECT_EQ(breaker->state(), State::kOpen);
  now += milliseconds(999);
  EXPECT_FALSE(breaker->enter(now));
  now += milliseconds(1);
  EXPECT_TRUE(breaker->enter(now));
}

TEST_F(Breaker, ATrialThatLearnedNothingLeavesTheNextOneTry) {
  for (int i = 0; i < 3; ++i) fail_once();
  now += milliseconds(1000);
  {
    const auto cancelled = breaker->enter(now);
    ASSERT_TRUE(cancelled);
  }
  EXPECT_EQ(breaker->state(), State::kOpen);
  EXPECT_TRUE(breaker->enter(now));
}

TEST_F(Breaker, AnAnswerThatBeganLetsOthersTryButMayStillFail) {
  for (int i = 0; i < 3; ++i) fail_once();
  now += milliseconds(1000);
  auto trial = breaker->enter(now);
  ASSERT_TRUE(trial);
  trial->began();
  EXPECT_EQ(breaker->state(), State::kClosed);
  EXPECT_TRUE(breaker->enter(now));
  trial->failed(now);
  EXPECT_EQ(breaker->state(), State::kOpen);
}

TEST_F(Breaker, WhatStartedBeforeItOpenedSaysNothing) {
  auto old_success = breaker->enter(now), old_failure = breaker->enter(now);
  for (int i = 0; i < 3; ++i) fail_once();
  old_success->worked();
  EXPECT_EQ(breaker->state(), State::kOpen);
  now += milliseconds(1000);
  auto trial = breaker->enter(now);
  ASSERT_TRUE(trial);
  old_failure->failed(now);
  EXPECT_EQ(breaker->state(), State::kHalfOpen);
  trial->worked();
  EXPECT_EQ(breaker->state(), State::kClosed);
}

TEST_F(Breaker, ZeroNeverOpens) {
  const auto never = std::make_shared<CircuitBreaker>(0, milliseconds(1000));
  for (int i = 0; i < 100; ++i) never->enter(now)->failed(now);
  EXPECT_EQ(never->state(), State::kClosed);
}

}  // namespace
}  // namespace tack::gateway
