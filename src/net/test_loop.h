// For tests: I/O threads that run a coroutine to its end, each on a strand of its own.
#pragma once

#include <chrono>
#include <future>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

#include "net/async.h"

namespace tack::net {

inline Async<void> pause_for(std::chrono::milliseconds time) {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, time);
  co_await timer.async_wait(boost::asio::use_awaitable);
}

class TestLoop {
 public:
  explicit TestLoop(int threads = 2) : io_(threads), work_(io_.get_executor()) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { io_.run(); });
  }
  ~TestLoop() { stop(); }

  void stop() {
    io_.stop();
    threads_.clear();  // joins
  }

  template <class T>
  std::future<T> start(Async<T> coroutine) {
    return boost::asio::co_spawn(boost::asio::make_strand(io_), std::move(coroutine),
                                 boost::asio::use_future);
  }
  template <class T>
  T run(Async<T> coroutine) {
    return start(std::move(coroutine)).get();
  }
  boost::asio::io_context& io() { return io_; }

 private:
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::vector<std::jthread> threads_;
};

}  // namespace tack::net
