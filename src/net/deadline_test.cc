#include "net/deadline.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <gtest/gtest.h>

#include "net/offload.h"

namespace tack::net {
namespace {

using namespace std::chrono_literals;

Async<int> after(std::chrono::milliseconds time, int value, int* ended = nullptr) {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
  timer.expires_after(time);
  if (time > 0ms) co_await timer.async_wait(boost::asio::use_awaitable);
  if (ended != nullptr) ++*ended;
  co_return value;
}
Async<int> thrower() {
  throw std::runtime_error("no");
  co_return 0;
}

// Runs `test` on a strand until nothing is left to do.
template <class Test>
void run(Test test) {
  boost::asio::io_context context;
  boost::asio::co_spawn(boost::asio::make_strand(context), std::move(test),
                        [](std::exception_ptr thrown) {
                          if (thrown) std::rethrow_exception(thrown);
                        });
  context.run();
}

TEST(Deadline, GivesWhatComesInTime) {
  run([]() -> Async<void> {
    EXPECT_EQ(co_await within(10s, after(1ms, 7)), 7);
    EXPECT_EQ(co_await within(10s, after(0ms, 8)), 8);
  });
}

TEST(Deadline, DoesNotWaitForTheRest) {
  int ended = 0;
  run([&ended]() -> Async<void> {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(co_await within(5ms, after(200ms, 7, &ended)), std::nullopt);
    EXPECT_LT(std::chrono::steady_clock::now() - start, 150ms);
    EXPECT_EQ(ended, 0);
  });
  EXPECT_EQ(ended, 1);  // it ran to its end
}

TEST(Offload, WorksElsewhereAndComesBack) {
  Workers workers(1);
  std::thread::id there, here, back;
  run([&]() -> Async<void> {
    here = std::this_thread::get_id();
    auto work = [&there] {
      there = std::this_thread::get_id();
      return std::string("done");
    };
    EXPECT_EQ(co_await offload(workers, work), "done");
    back = std::this_thread::get_id();
  });
  workers.join();
  EXPECT_TRUE(here == back);
  EXPECT_TRUE(here != there);
}

TEST(Deadline, PassesOnWhatIsThrown) {
  run([]() -> Async<void> {
    bool thrown = false;
    try {
      co_await within(10s, thrower());
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    EXPECT_TRUE(thrown);
  });
}

}  // namespace
}  // namespace tack::net
