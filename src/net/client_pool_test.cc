// The pool against servers that behave and servers that do not.
#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "net/client_pool_fixture.h"
#include "net/scripted_server.h"
#include "net/server.h"
#include "net/test_loop.h"

namespace tack::net {
namespace {

TEST(ClientPool, KeepsTheConnection) {
  ScriptedServer server(answer_all);
  TestLoop loop;
  const auto pool = make_pool(server.url() + "/v1");
  for (int i = 0; i < 5; ++i) {
    const auto got = loop.run(ask(*pool));
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(got->first, 200);
    EXPECT_EQ(got->second, "hello");
  }
  EXPECT_EQ(server.connections(), 1);
  EXPECT_EQ(pool->counts().idle, 1u);
  EXPECT_EQ(pool->counts().active, 0u);
}

TEST(ClientPool, SendsWhatItIsGiven) {
  std::string seen;
  ScriptedServer server([&](Peer& peer, int) {
    seen = peer.read_request();
    peer.send(kHello);
  });
  TestLoop loop;
  const auto pool = make_pool(server.url());
  PoolRequest request{.target = "/v1/chat?x=1", .body = std::string(100'000, 'b')};
  request.headers.add("Authorization", "Bearer k");
  ASSERT_TRUE(loop.run(ask(*pool, request)));
  EXPECT_TRUE(seen.starts_with("POST /v1/chat?x=1 HTTP/1.1\r\nHost: 127.0.0.1:"))
      << seen.substr(0, 200);
  EXPECT_NE(seen.find("\r\nAuthorization: Bearer k\r\n"), seen.npos);
  EXPECT_EQ(seen.find("Connection: close"), seen.npos);
  EXPECT_TRUE(seen.ends_with("\r\nContent-Length: 100000\r\n\r\n" + request.body));
}

TEST(ClientPool, ReplacesAStaleConnectionOnce) {
  // The first connection is closed after an answer; the pool may see that before it sends or only
  // when nothing comes back, and either way a fresh one is asked.
  std::atomic<bool> let_go{false};
  ScriptedServer server([&](Peer& peer, int number) {
    peer.read_request();
    peer.send(kHello);
    if (number > 0) return answer_all(peer, number);
    if (peer.read_request().empty()) return;  // read, then closed without an answer
    let_go = true;
  });
  TestLoop loop;
  const auto pool = make_pool(server.url());
  ASSERT_TRUE(loop.run(ask(*pool)));
  const auto second = loop.run(ask(*pool));
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(second->second, "hello");
  EXPECT_TRUE(let_go);
  EXPECT_EQ(server.connections(), 2);
  EXPECT_EQ(pool->counts().reopened, 1u);
}

TEST(ClientPool, SeesAConnectionThatTheServerClosed) {
  ScriptedServer server([](Peer& peer, int) {
    peer.read_request();
    peer.send(kHello);
  });
  TestLoop loop;
  const auto pool = make_pool(server.url());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(loop.run(ask(*pool)));
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_EQ(server.connections(), 3);
  EXPECT_EQ(pool->counts().reopened, 2u);
}

TEST(ClientPool, DoesNotAskTwiceOnAFreshConnection) {
  ScriptedServer server([](Peer& peer, int) { peer.read_request(); });
  TestLoop loop;
  const auto pool = make_pool(server.url());
  const auto got = loop.run(ask(*pool));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().fault, ClientFault::kBroken);
  EXPECT_EQ(got.error().code, ErrorCode::kUnreachable);
  EXPECT_EQ(server.connections(), 1);
}

TEST(ClientPool, ToldWhatWentWrong) {
  struct Case {
    std::string_view sent;
    ClientFault fault;
  };
  const std::string flood = "HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n";
  for (const Case& c :
       {Case{"HTTP/1.1 200 OK\r\nContent-Le", ClientFault::kBroken},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", ClientFault::kBroken},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
         ClientFault::kBroken},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ClientFault::kMalformed},
        {"SSH-2.0-OpenSSH_9.2\r\n", ClientFault::kMalformed},
        {flood, ClientFault::kMalformed},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n", ClientFault::kTooLarge},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n", ClientFault::kTooLarge}}) {
    ScriptedServer server([&](Peer& peer, int) {
      peer.read_request();
      peer.send(c.sent);
    });
    TestLoop loop;
    const auto pool = make_pool(server.url());
    const auto got = loop.run(ask(*pool, {.target = "/", .body_limit = 1000}));
    ASSERT_FALSE(got) << c.sent.substr(0, 60);
    EXPECT_EQ(got.error().fault, c.fault) << c.sent.substr(0, 60) << got.error().message;
    EXPECT_EQ(pool->counts().idle, 0u);
    EXPECT_EQ(pool->counts().active, 0u);
  }
}

TEST(ClientPool, TakesBodiesThatOnlyTheCloseEnds) {
  ScriptedServer server([](Peer& peer, int) {
    peer.read_request();
    peer.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhel");
    peer.send("lo");
  });
  TestLoop loop;
  const auto pool = make_pool(server.url());
  const auto got = loop.run(ask(*pool));
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->second, "hello");
  EXPECT_EQ(pool->counts().idle, 0u);
}

TEST(ClientPool, DoesNotReuseWhatIsNotClean) {
  for (const std::string_view sent :
       {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 unasked\r\n"}) {
    ScriptedServer server([&](Peer& peer, int) {
      peer.read_request();
      peer.send(sent);
      peer.wait_for_close();
    });
    TestLoop loop;
    const auto pool = make_pool(server.url());
    ASSERT_TRUE(loop.run(ask(*pool)));
    EXPECT_EQ(pool->counts().idle, 0u) << sent;
  }
}

TEST(ClientPool, LimitsEveryWait) {
  ScriptedServer server([](Peer& peer, int) {
    const std::string request = peer.read_request();
    if (request.starts_with("POST /drip")) {
      peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      for (int i = 0; i < 100; ++i) {
        peer.send("1\r\nx\r\n");
        std::this_thread::sleep_for(milliseconds(20));
      }
    }
    if (request.starts_with("POST /head"))
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    if (request.starts_with("POST /half"))
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nh");
    peer.wait_for_close();
  });
  TestLoop loop;
  const auto pool = make_pool(
      server.url(), {.first_byte_timeout = milliseconds(150), .idle_timeout = milliseconds(1000)});
  const auto took = [&](PoolRequest request) {
    const auto begin = steady_clock::now();
    const auto got = loop.run(ask(*pool, std::move(request)));
    EXPECT_FALSE(got);
    if (!got) {
      EXPECT_EQ(got.error().fault, ClientFault::kTimedOut) << got.error().message;
    }
    return steady_clock::now() - begin;
  };
  const auto silent = took({.target = "/silent"});
  EXPECT_GE(silent, milliseconds(150));
  EXPECT_LT(silent, milliseconds(900));
  const auto head_only = took({.target = "/head"});
  EXPECT_GE(head_only, milliseconds(150));
  EXPECT_LT(head_only, milliseconds(900));
  const auto half = took({.target = "/half"});
  EXPECT_GE(half, milliseconds(1000));
  EXPECT_LT(half, milliseconds(3000));
  // Bytes that keep coming do not buy time against the limit of the whole.
  const auto drip = took({.target = "/drip", .deadline = steady_clock::now() + milliseconds(400)});
  EXPECT_LT(drip, milliseconds(1500));
}

TEST(ClientPool, SaysThatNobodyListens) {
  std::uint16_t port = 0;
  {
    ScriptedServer server(answer_all);
    port = server.port();
  }
  TestLoop loop;
  const auto pool = make_pool("http://127.0.0.1:" + std::to_string(port));
  const auto got = loop.run(ask(*pool));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().fault, ClientFault::kNoConnection);
  EXPECT_NE(got.error().message.find(std::to_string(port)), std::string::npos);
  const auto nowhere = make_pool("http://no-such-host.invalid");
  const auto unknown = loop.run(ask(*nowhere));
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().fault, ClientFault::kNoConnection) << unknown.error().message;
  EXPECT_FALSE(ClientPool::create("ftp://x", {}));
}

TEST(ClientPool, WaitsForAFreeConnectionInOrder) {
  std::atomic<int> now{0}, most{0};
  std::atomic<bool> go{false};
  std::mutex mutex;
  std::vector<std::string> order;
  ScriptedServer server([&](Peer& peer, int) {
    for (std::string request = peer.read_request(); !request.empty();
         request = peer.read_request()) {
      most = std::max(most.load(), ++now);
      {
        const std::lock_guard lock(mutex);
        order.push_back(request.substr(5, request.find(' ', 5) - 5));
      }
      soon([&] { return go.load(); });
      std::this_thread::sleep_for(milliseconds(10));
      --now;
      peer.send(kHello);
    }
  });
  TestLoop loop;
  const auto pool = make_pool(
      server.url(), {.max_connections = 2, .queue_limit = 6, .queue_timeout = milliseconds(2000)});
  std::vector<std::future<Answered>> all;
  std::vector<std::string> sent;
  for (int i = 0; i < 8; ++i) {
    sent.push_back("/" + std::to_string(i));
    all.push_back(loop.start(ask(*pool, {.target = sent.back()})));
    soon([&] { return pool->counts().active + pool->counts().waiting == std::size_t(i) + 1; });
  }
  const auto ninth = loop.run(ask(*pool));
  ASSERT_FALSE(ninth);
  EXPECT_EQ(ninth.error().fault, ClientFault::kBusy);
  go = true;
  for (auto& one : all) EXPECT_TRUE(one.get());
  EXPECT_EQ(most, 2);
  EXPECT_LE(server.connections(), 2);
  std::vector<std::string> arrived(order.begin() + 2, order.end()),
      last(sent.begin() + 2, sent.end());
  // Two are served at a time, so neighbours may change places.
  for (std::size_t i = 0; i < last.size(); ++i)
    EXPECT_TRUE(arrived[i] == last[i] || (i > 0 && arrived[i] == last[i - 1]) ||
                (i + 1 < last.size() && arrived[i] == last[i + 1]))
        << i << " " << arrived[i];
}

TEST(ClientPool, DoesNotWaitForEver) {
  ScriptedServer server([](Peer& peer, int) {
    peer.read_request();
    peer.wait_for_close();
  });
  TestLoop loop;
  const auto pool =
      make_pool(server.url(), {.max_connections = 1, .queue_timeout = milliseconds(100)});
  auto first =
      loop.start(ask(*pool, {.target = "/", .deadline = steady_clock::now() + milliseconds(600)}));
  soon([&] { return pool->counts().active == 1; });
  const auto begin = steady_clock::now();
  const auto got = loop.run(ask(*pool));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().fault, ClientFault::kBusy);
  EXPECT_LT(steady_clock::now() - begin, milliseconds(550));
  EXPECT_FALSE(first.get());
  EXPECT_EQ(pool->counts().active, 0u);
}

TEST(ClientPool, ClosesWhatStaysIdle) {
  std::atomic<bool> closed{false};
  ScriptedServer server([&](Peer& peer, int) {
    answer_all(peer, 0);
    closed = true;
  });
  TestLoop loop;
  const auto pool = make_pool(server.url(), {.keep_idle = milliseconds(100)});
  ASSERT_TRUE(loop.run(ask(*pool)));
  EXPECT_EQ(pool->counts().idle, 1u);
  EXPECT_TRUE(soon([&] { return closed.load(); }));
  EXPECT_EQ(pool->counts().idle, 0u);
  // And again, after the sweeper has come to rest.
  ASSERT_TRUE(loop.run(ask(*pool)));
  EXPECT_TRUE(soon([&] { return pool->counts().idle == 0; }));
}

// Pulls two pieces, then leaves the answer to its fate.
Async<std::string> two_pieces(ClientPool& pool) {
  PoolRequest request{.target = "/"};
  auto answer = co_await pool.send(std::move(request));
  std::string got;
  for (int i = 0; answer && i < 2; ++i) {
    const auto piece = co_await answer->next_piece();
    if (piece) got.append(*piece);
  }
  co_return got;
}

TEST(ClientPool, AnAnswerLeftEarlyClosesItsConnection) {
  std::atomic<bool> closed{false};
  ScriptedServer server([&](Peer& peer, int) {
    peer.read_request();
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    std::this_thread::sleep_for(milliseconds(50));
    peer.send("3\r\ntwo\r\n");
    closed = peer.wait_for_close();
  });
  TestLoop loop;
  const auto pool = make_pool(server.url());
  EXPECT_EQ(loop.run(two_pieces(*pool)), "onetwo");
  EXPECT_TRUE(soon([&] { return closed.load(); }));
  EXPECT_EQ(pool->counts().active, 0u);
}

TEST(ClientPool, ReadsNothingThatIsNotAskedFor) {
  std::atomic<std::size_t> sent{0};
  ScriptedServer server([&](Peer& peer, int) {
    peer.read_request();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n");
    const std::string piece(65536, 'x');
    for (int i = 0; i < 1024; ++i) {
      peer.send(piece);
      sent += piece.size();
    }
  });
  TestLoop loop;
  const auto pool = make_pool(server.url());
  std::promise<void> go_on;
  auto slow = [](ClientPool& from, std::future<void> wait) -> Async<std::size_t> {
    PoolRequest request{.target = "/"};
    auto answer = co_await from.send(std::move(request));
    auto first = co_await answer->next_piece();
    std::size_t bytes = first->size();
    while (wait.wait_for(milliseconds(0)) != std::future_status::ready)
      co_await pause_for(milliseconds(10));
    auto rest = co_await answer->rest();
    co_return bytes + (rest ? rest->size() : 0);
  };
  auto got = loop.start(slow(*pool, go_on.get_future()));
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_LT(sent, 16u * 1024 * 1024);  // what the sockets hold
  go_on.set_value();
  EXPECT_EQ(got.get(), 67108864u);
  EXPECT_EQ(pool->counts().idle, 1u);
}

TEST(ClientPool, CancellingClosesTheConnection) {
  std::atomic<int> closed{0};
  ScriptedServer server([&](Peer& peer, int) {
    const std::string request = peer.read_request();
    if (request.starts_with("POST /body"))
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello");
    closed += peer.wait_for_close();
  });
  TestLoop loop;
  const auto pool = make_pool(server.url(), {.max_connections = 1});
  auto cancelled = [](ClientPool& from, std::string target, int wait_ms) -> Async<Answered> {
    const auto departure = std::make_shared<Departure>();
    auto timer = std::make_shared<boost::asio::steady_timer>(
        co_await boost::asio::this_coro::executor, milliseconds(wait_ms));
    auto leave = [departure, timer](const boost::system::error_code&) { departure->depart(); };
    timer->async_wait(leave);
    PoolRequest request{.target = target, .departure = departure};
    co_return co_await ask(from, std::move(request));
  };
  for (const char* target : {"/silent", "/body"}) {
    const auto begin = steady_clock::now();
    auto running = loop.start(cancelled(*pool, target, 200));
    soon([&] { return pool->counts().active == 1; });
    // This one does not even get a connection.
    const auto queued = loop.run(cancelled(*pool, target, 50));
    ASSERT_FALSE(queued);
    EXPECT_EQ(queued.error().fault, ClientFault::kCancelled);
    const auto got = running.get();
    EXPECT_LT(steady_clock::now() - begin, milliseconds(2000));
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().fault, ClientFault::kCancelled);
    EXPECT_EQ(got.error().code, ErrorCode::kInterrupted);
  }
  EXPECT_TRUE(soon([&] { return closed == 2; }));
  EXPECT_EQ(server.connections(), 2);
}

TEST(ClientPool, OneThatHasLeftAlreadySendsNothing) {
  ScriptedServer server(answer_all);
  TestLoop loop;
  const auto pool = make_pool(server.url());
  const auto departure = std::make_shared<Departure>();
  departure->depart();
  for (int i = 0; i < 2; ++i) {  // on a fresh connection, and where one is kept
    const auto got = loop.run(ask(*pool, {.target = "/", .departure = departure}));
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().fault, ClientFault::kCancelled);
    ASSERT_TRUE(loop.run(ask(*pool)));
  }
}

// Takes the first piece; the rest goes to the background.
Async<std::string> first_piece(ClientPool& pool) {
  PoolRequest request{.target = "/"};
  auto answer = co_await pool.send(std::move(request));
  const auto piece = co_await answer->next_piece();
  std::string got(*piece);
  answer->drain();
  co_return got;
}

TEST(ClientPool, DrainingKeepsTheConnection) {
  std::atomic<bool> endless{false};
  ScriptedServer server([&](Peer& peer, int) {
    while (!peer.read_request().empty()) {
      peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndone\r\n");
      std::this_thread::sleep_for(milliseconds(30));
      if (!endless) peer.send("0\r\n\r\n");
      for (int i = 0; endless && i < 40; ++i)
        peer.send("1000\r\n" + std::string(4096, 'x') + "\r\n");
    }
  });
  TestLoop loop;
  const auto pool = make_pool(server.url());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(loop.run(first_piece(*pool)), "done");
    EXPECT_TRUE(soon([&] { return pool->counts().idle == 1; }));
  }
  EXPECT_EQ(server.connections(), 1);
  endless = true;
  EXPECT_EQ(loop.run(first_piece(*pool)), "done");
  EXPECT_TRUE(soon([&] { return pool->counts().active == 0; }));
  EXPECT_EQ(pool->counts().idle, 0u);
}

TEST(ClientPool, MayOutliveTheLoopOrGoFirst) {
  ScriptedServer server([](Peer& peer, int) {
    for (std::string request = peer.read_request(); !request.empty(); request = peer.read_request())
      if (!request.starts_with("POST /silent")) peer.send(kHello);
  });
  auto pool = make_pool(server.url(), {.max_connections = 2});
  for (int round = 0; round < 2; ++round) {
    TestLoop loop;
    ASSERT_TRUE(loop.run(ask(*pool)));
    // One runs, one waits in the queue when the loop ends.
    auto running = loop.start(ask(*pool, {.target = "/silent"}));
    auto also = loop.start(ask(*pool, {.target = "/silent"}));
    EXPECT_TRUE(soon([&] { return pool->counts().active == 2; }));
    auto queued = loop.start(ask(*pool));
    EXPECT_TRUE(soon([&] { return pool->counts().waiting == 1; }));
  }
  EXPECT_EQ(pool->counts().idle, 0u);
  EXPECT_EQ(pool->counts().active, 0u);
  EXPECT_EQ(pool->counts().waiting, 0u);
  TestLoop loop;
  ASSERT_TRUE(loop.run(ask(*pool)));
  auto running = loop.start(
      ask(*pool, {.target = "/silent", .deadline = steady_clock::now() + milliseconds(300)}));
  soon([&] { return pool->counts().active == 1; });
  pool = nullptr;
  EXPECT_FALSE(running.get());
}

TEST(ClientPool, ManyAtOnceFromManyStrands) {
  Router router;
  Handler echo = [](Request request) -> Async<Response> {
    co_return Response::text(200, request.body);
  };
  router.add("POST", "/echo", echo);
  auto server = HttpServer::start({.threads = 2}, std::move(router));
  ASSERT_TRUE(server);
  TestLoop loop(4);
  const auto pool =
      make_pool("http://127.0.0.1:" + std::to_string((*server)->port()), {.max_connections = 8});
  auto many = [](ClientPool& from, int mine) -> Async<int> {
    int right = 0;
    for (int i = 0; i < 100; ++i) {
      const std::string body = std::to_string(mine * 1000 + i);
      PoolRequest request{.target = "/echo", .body = body};
      const auto got = co_await ask(from, std::move(request));
      right += got && got->second == body;
    }
    co_return right;
  };
  std::vector<std::future<int>> all;
  for (int i = 0; i < 32; ++i) all.push_back(loop.start(many(*pool, i)));
  int right = 0;
  for (auto& one : all) right += one.get();
  EXPECT_EQ(right, 3200);
  EXPECT_LE(pool->counts().opened, 8u);
  EXPECT_EQ(pool->counts().idle, pool->counts().opened);
}

}  // namespace
}  // namespace tack::net
