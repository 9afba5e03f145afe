// A coroutine sleeps until a time, or until somebody wakes it. Internal to the I/O threads.
#pragma once

#include <chrono>
#include <memory>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "net/async.h"

namespace tack::net {

// Held by shared_ptr, since who wakes may come late. `executor` is the sleeping coroutine's.
class Wakeup : public std::enable_shared_from_this<Wakeup> {
 public:
  explicit Wakeup(const boost::asio::any_io_executor& executor) : timer_(executor) {}

  // True when woken (also before it slept), false at the time. For one coroutine.
  Async<bool> sleep_until(std::chrono::steady_clock::time_point time) {
    const auto self = shared_from_this();  // who wakes may have held the last of it
    if (!woken_) {
      timer_.expires_at(time);
      boost::system::error_code ignored;
      co_await timer_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    }
    co_return woken_;
  }

  // From any thread.
  void wake() {
    boost::asio::post(timer_.get_executor(), [self = shared_from_this()] { self->wake_here(); });
  }
  // On the executor itself.
  void wake_here() {
    woken_ = true;
    timer_.cancel();
  }

 private:
  boost::asio::steady_timer timer_;
  bool woken_ = false;
};

}  // namespace tack::net
