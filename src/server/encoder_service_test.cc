#include "server/encoder_service.h"

#include <future>
#include <numeric>
#include <thread>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <gtest/gtest.h>

#include "server/fake_model.h"

namespace tack::server {
namespace {

namespace asio = boost::asio;
using Answer = std::future<Result<Embedded>>;

class EncoderServiceTest : public ::testing::Test {
 protected:
  void start(QueueLimits limits = {}) {
    std::vector<std::unique_ptr<ServedModel>> models;
    models.push_back(std::make_unique<FakeModel>(state, "a", false));
    models.push_back(std::make_unique<FakeModel>(state, "b", true));
    service.emplace(std::move(models), limits);
  }
  ~EncoderServiceTest() override {
    state.open();
    if (service) service->stop();
    guard.reset();
    io_thread.join();
  }

  Answer embed(std::vector<std::string> texts, std::size_t model = 0) {
    return asio::co_spawn(io, service->embed(model, std::move(texts)), asio::use_future);
  }
  // Occupies the engine thread until state.open().
  Answer block() {
    state.close();
    Answer answer = embed({"block"});
    state.await_batch_at_gate();
    return answer;
  }
  void wait_for_waiting(std::size_t texts) {
    while (service->counters().waiting_texts < texts)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    // Counted when admitted; a moment later it stands in the queue.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }

  FakeState state;
  asio::io_context io;
  asio::executor_work_guard<asio::io_context::executor_type> guard{io.get_executor()};
  std::thread io_thread{[this] { io.run(); }};
  std::optional<EncoderService> service;
};

TEST_F(EncoderServiceTest, AnswersInTheOrderOfTheTexts) {
  start();
  const auto got = embed({"abc", "", "Z"}).get();
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->vectors, (std::vector<float>{3, 'a', 0, 0.1f, 1, 'Z'}));
  EXPECT_EQ(got->info.at(0).tokens, 5);
  EXPECT_EQ(service->counters().waiting_texts, 0u);
}

TEST_F(EncoderServiceTest, WhatWaitsBecomesOneBatch) {
  start();
  Answer first = block();
  std::vector<Answer> answers;
  for (int i = 0; i < 10; ++i) answers.push_back(embed({std::string(i + 1, 'x'), "y"}));
  wait_for_waiting(21);
  state.open();
  for (int i = 0; i < 10; ++i) {
    const auto got = answers[i].get();
    ASSERT_TRUE(got);
    EXPECT_EQ(got->vectors, (std::vector<float>{static_cast<float>(i + 1), 'x', 1, 'y'}));
  }
  ASSERT_TRUE(first.get());
  EXPECT_EQ(state.batches, (std::vector<std::size_t>{1, 20}));
}

TEST_F(EncoderServiceTest, KeepsModelsAndOperationsApart) {
  start();
  Answer first = block();
  Answer a = embed({"a"}, 0), b = embed({"b"}, 1), a2 = embed({"cc"}, 0);
  auto c = asio::co_spawn(io, service->classify(1, {"1234"}), asio::use_future);
  wait_for_waiting(5);
  state.open();
  EXPECT_EQ(b.get()->vectors, (std::vector<float>{1, 'b'}));
  EXPECT_EQ(a2.get()->vectors, (std::vector<float>{2, 'c'}));
  EXPECT_EQ(c.get()->at(0).label, 1u);
  a.get();
  EXPECT_EQ(state.batches, (std::vector<std::size_t>{1, 2, 1, 1}));
}

TEST_F(EncoderServiceTest, SlicesALargeRequestAndLetsOthersBetween) {
  start({.batch_texts = 8});
  Answer first = block();
  Answer large = embed(std::vector<std::string>(30, "large"));
  wait_for_waiting(31);
  Answer small = embed({"small"});
  wait_for_waiting(32);
  state.open();
  ASSERT_EQ(small.get()->vectors, (std::vector<float>{5, 's'}));
  const auto got = large.get();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->info.size(), 30u);
  EXPECT_EQ(std::count(got->vectors.begin(), got->vectors.end(), 5.0f), 30);
  // 8 of the large one; the small one with 7; then the rest.
  EXPECT_EQ(state.batches, (std::vector<std::size_t>{1, 8, 8, 8, 7}));
}

TEST_F(EncoderServiceTest, HoldsTheByteBudgetButTakesALongTextAlone) {
  start({.batch_bytes = 10});
  const auto got = embed({"aaaa", "bbbb", "cccc", std::string(50, 'd'), "e"}).get();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->vectors, (std::vector<float>{4, 'a', 4, 'b', 4, 'c', 50, 'd', 1, 'e'}));
  EXPECT_EQ(state.batches, (std::vector<std::size_t>{2, 1, 1, 1}));
}

TEST_F(EncoderServiceTest, RefusesWhenTheQueueIsFull) {
  start({.waiting_texts = 4});
  Answer first = block();
  Answer fits = embed({"a", "b", "c"});
  wait_for_waiting(4);
  const auto refused = embed({"d"}).get();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnreachable);
  EXPECT_EQ(service->counters().refused, 1u);
  state.open();
  ASSERT_TRUE(fits.get());
  first.get();
  // Larger than the whole queue, but nothing waits: taken.
  while (service->counters().waiting_texts > 0) std::this_thread::yield();
  EXPECT_TRUE(embed(std::vector<std::string>(100, "x")).get());
}

TEST_F(EncoderServiceTest, OneBadRequestDoesNotSpoilTheOthers) {
  start();
  for (const char* poison : {"bad", "throw"}) {
    Answer first = block();
    Answer good = embed({"good"}), bad = embed({"ok", poison}), other = embed({"other"});
    wait_for_waiting(5);
    state.open();
    EXPECT_EQ(good.get()->vectors, (std::vector<float>{4, 'g'}));
    EXPECT_EQ(other.get()->vectors, (std::vector<float>{5, 'o'}));
    const auto failed = bad.get();
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, ErrorCode::kFailed);
    EXPECT_TRUE(first.get());
  }
}

TEST_F(EncoderServiceTest, AFailingSliceEndsTheRequest) {
  start({.batch_texts = 2});
  const auto got = embed({"a", "b", "bad", "c", "d"}).get();
  ASSERT_FALSE(got);
  EXPECT_NE(got.error().message.find("a bad text"), std::string::npos);
  EXPECT_EQ(service->counters().waiting_texts, 0u);
  EXPECT_TRUE(embed({"next"}).get());
}

TEST_F(EncoderServiceTest, StopAnswersEverybody) {
  start();
  Answer running = block();
  Answer waiting = embed({"waits"});
  wait_for_waiting(2);
  std::thread stopper([this] { service->stop(); });
  while (service->accepting()) std::this_thread::yield();
  state.open();
  stopper.join();
  EXPECT_TRUE(running.get());
  const auto got = waiting.get();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kInterrupted);
  const auto late = embed({"late"}).get();
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kInterrupted);
}

}  // namespace
}  // namespace tack::server
