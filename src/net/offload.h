// Work that is too long for an I/O thread, done elsewhere.
#pragma once

#include <type_traits>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "net/async.h"

namespace tack::net {

using Workers = boost::asio::thread_pool;

// What `work()` returns, run by a thread of `workers`; the caller goes on, on its own executor,
// when it is done. What `work` refers to must live until then. The workers are joined before the
// I/O context of their callers is destroyed.
template <class Work>
Async<std::invoke_result_t<Work&>> offload(Workers& workers, Work work) {
  auto run = [work = std::move(work)]() mutable -> Async<std::invoke_result_t<Work&>> {
    co_return work();
  };
  auto result = co_await boost::asio::co_spawn(workers, std::move(run), boost::asio::use_awaitable);
  co_return result;
}

}  // namespace tack::net
