// Async<T>: a coroutine of the I/O threads (Boost.Asio). Handlers and streams return it and
// `co_await` it. I/O coroutines never compute: long work goes to the engine thread.
//
// GCC 12 miscompiles, and each ends in a double free or worse:
// - inside a `co_await` expression, a lambda with captures, an aggregate written in braces (as in
//   `co_await send({.target = "/"})`) or a `?:` that makes an object: give each a name first;
// - `c ? co_await f() : co_await g()`: write an if;
// - a loop whose condition awaits, `while (co_await f()) ...`: await into a variable.
#pragma once

#include <boost/asio/awaitable.hpp>

namespace tack::net {

template <class T>
using Async = boost::asio::awaitable<T>;

}  // namespace tack::net
