// For tests: a pool against a scripted server.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "net/client_pool.h"
#include "net/scripted_server.h"
#include "net/test_loop.h"

namespace tack::net {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using Peer = ScriptedServer::Peer;
using Answered = ClientResult<std::pair<int, std::string>>;

inline constexpr std::string_view kHello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

inline std::unique_ptr<ClientPool> make_pool(const std::string& url, PoolOptions options = {}) {
  auto pool = ClientPool::create(url, options);
  EXPECT_TRUE(pool) << pool.error().message;
  return std::move(*pool);
}

inline Async<Answered> ask(ClientPool& pool, PoolRequest request = {.target = "/x"}) {
  auto answer = co_await pool.send(std::move(request));
  if (!answer) co_return std::unexpected(answer.error());
  auto body = co_await answer->rest();
  if (!body) co_return std::unexpected(body.error());
  co_return std::pair{answer->status(), *std::move(body)};
}

template <class Condition>
bool soon(Condition condition) {
  const auto end = steady_clock::now() + std::chrono::seconds(5);
  while (!condition() && steady_clock::now() < end) std::this_thread::sleep_for(milliseconds(5));
  return condition();
}

inline void answer_all(Peer& peer, int) {
  while (!peer.read_request().empty()) peer.send(kHello);
}

}  // namespace tack::net
