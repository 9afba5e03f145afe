// Waits for a coroutine, but not for ever.
#pragma once

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "net/async.h"

namespace tack::net {

// What `work` comes to; nullopt when it takes longer than `time`. It is not broken off then: it
// runs to its end on the caller's executor, a strand, and what it comes to is dropped. So whatever
// it refers to must live as long as the server. T has a default constructor.
template <class T>
Async<std::optional<T>> within(std::chrono::milliseconds time, Async<T> work) {
  struct State {
    explicit State(const boost::asio::any_io_executor& executor) : timer(executor) {}
    std::optional<T> value;
    std::exception_ptr thrown;
    bool done = false;
    boost::asio::steady_timer timer;
  };
  const auto executor = co_await boost::asio::this_coro::executor;
  auto state = std::make_shared<State>(executor);
  state->timer.expires_after(time);
  auto finished = [state](std::exception_ptr thrown, T value) {
    state->thrown = thrown;
    if (!thrown) state->value = std::move(value);
    state->done = true;
    state->timer.cancel();
  };
  boost::asio::co_spawn(executor, std::move(work), std::move(finished));
  if (!state->done) {
    boost::system::error_code ignored;
    co_await state->timer.async_wait(
        boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
  }
  if (state->thrown) std::rethrow_exception(state->thrown);
  co_return std::move(state->value);
}

}  // namespace tack::net
