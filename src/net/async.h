// Async<T>: a coroutine of the I/O threads (Boost.Asio). Handlers and streams return it and
// `co_await` it. I/O coroutines never compute: long work goes to the engine thread.
//
// GCC 12 miscompiles a lambda with captures inside a `co_await` expression (double free): give the
// lambda a name first, then await.
#pragma once

#include <boost/asio/awaitable.hpp>

namespace tack::net {

template <class T>
using Async = boost::asio::awaitable<T>;

}  // namespace tack::net
