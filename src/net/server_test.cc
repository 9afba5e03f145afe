// The server over real sockets. Requests are written byte by byte by a client of POSIX calls, so
// that what is tested is not also what reads it.
#include "net/server.h"

#include <atomic>
#include <csignal>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/interrupt.h"
#include "net/client.h"
#include "net/raw_client.h"

namespace tack::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

Async<void> sleep_for(milliseconds time) {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, time);
  co_await timer.async_wait(boost::asio::use_awaitable);
}

Async<Response> echo(Request request) {
  co_return Response::text(200, request.method + " " + request.body);
}

Async<Response> slow(Request) {
  co_await sleep_for(milliseconds(300));
  co_return Response::text(200, "slow but done");
}

Async<Response> item(Request request) {
  co_return Response::text(200, request.params.at("id") + "/" + request.params.at("part"));
}

Async<Response> never(Request) {
  co_await sleep_for(std::chrono::hours(1));
  co_return Response::text(200, "");
}

Async<Response> throws(Request) {
  throw std::runtime_error("a bug");
  co_return Response{};
}

Async<void> three_events(ResponseStream& stream) {
  for (const char* word : {"one", "two", "three"}) {
    if (!co_await stream.write(sse_event(word))) co_return;
    co_await sleep_for(milliseconds(30));
  }
  co_await stream.write("");  // must not end the body
  co_await stream.write(sse_event("[DONE]"));
}

Async<void> breaks(ResponseStream& stream) {
  co_await stream.write("half");
  throw std::runtime_error("a bug");
}

Async<Response> events(Request) {
  co_return Response::events(three_events);
}
Async<Response> broken_stream(Request) {
  co_return Response::streaming("text/plain", breaks);
}
Async<Response> literal(Request) {
  co_return Response::text(200, "literal");
}
Async<Response> hostile_header(Request) {
  Response response = Response::text(200, "x");
  response.headers.set("X-Echo", "a\r\nInjected: 1");
  response.headers.set("Content-Length", "5000");
  co_return response;
}

class HttpServerTest : public ::testing::Test {
 protected:
  void start(ServerOptions options = {}) {
    Router router;
    router.add("GET", "/echo", echo);
    router.add("POST", "/echo", echo);
    router.add("GET", "/slow", slow);
    router.add("GET", "/never", never);
    router.add("GET", "/throws", throws);
    router.add("GET", "/events", events);
    router.add("GET", "/broken", broken_stream);
    router.add("GET", "/header", hostile_header);
    router.add("GET", "/items/{id}/parts/{part}", item);
    router.add("GET", "/items/special/parts/1", literal);
    Handler endless = [this](Request) -> Async<Response> { co_return endless_stream(); };
    router.add("GET", "/endless", endless);
    auto started = HttpServer::start(options, std::move(router));
    ASSERT_TRUE(started) << started.error().message;
    server = std::move(*started);
    ASSERT_NE(server->port(), 0);
  }

  Response endless_stream() {
    StreamProducer producer = [this](ResponseStream& stream) -> Async<void> {
      while (co_await stream.write(std::string(1000, 'x'))) co_await sleep_for(milliseconds(5));
      producer_ended = true;
    };
    return Response::streaming("text/plain", producer);
  }

  RawClient connect() { return RawClient(server->port()); }
  std::string ask(std::string_view request) {
    RawClient client = connect();
    client.send(request);
    return client.read_response();
  }
  Result<Response> fetch_path(std::string path) {
    return fetch_blocking(
        {.url = fmt::format("http://127.0.0.1:{}{}", server->port(), std::move(path))});
  }

  std::atomic<bool> producer_ended{false};
  std::unique_ptr<HttpServer> server;
};

TEST_F(HttpServerTest, AnswersAndKeepsTheConnection) {
  start();
  RawClient client = connect();
  for (int i = 0; i < 3; ++i) {
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
    const std::string response = client.read_response();
    EXPECT_EQ(status_of(response), 200);
    EXPECT_TRUE(response.ends_with("\r\n\r\nPOST hi")) << response;
    EXPECT_NE(response.find("\r\nDate: "), response.npos);
  }
  EXPECT_FALSE(client.eof());
  EXPECT_EQ(server->connections(), 1u);
}

TEST_F(HttpServerTest, ClosesWhenAsked) {
  start();
  RawClient client = connect();
  client.send("GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string response = client.read_all();
  EXPECT_NE(response.find("Connection: close"), response.npos);
  EXPECT_TRUE(client.eof());
  RawClient old = connect();
  old.send("GET /echo HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(old.read_all().ends_with("GET "));
  EXPECT_TRUE(old.eof());
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  start();
  RawClient client = connect();
  client.send(
      "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n\r\n"
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nA"
      "GET /items/7/parts/b HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(client.read_response().ends_with("slow but done"));
  EXPECT_TRUE(client.read_response().ends_with("POST A"));
  EXPECT_TRUE(client.read_response().ends_with("7/b"));
}

TEST_F(HttpServerTest, ReadsChunkedAndContinue) {
  start();
  EXPECT_TRUE(ask("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n")
                  .ends_with("POST abcde"));
  RawClient client = connect();
  client.send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(status_of(client.read_response()), 100);
  client.send("ok");
  EXPECT_TRUE(client.read_response().ends_with("POST ok"));
}

TEST_F(HttpServerTest, RoutesByPathAndMethod) {
  start();
  EXPECT_EQ(status_of(ask("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")), 404);
  EXPECT_EQ(status_of(ask("GET /items//parts/1 HTTP/1.1\r\nHost: x\r\n\r\n")), 404);
  EXPECT_EQ(status_of(ask("GET /echo/ HTTP/1.1\r\nHost: x\r\n\r\n")), 404);
  const std::string wrong = ask("DELETE /echo HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(status_of(wrong), 405);
  EXPECT_NE(wrong.find("\r\nAllow: GET, HEAD, POST\r\n"), wrong.npos) << wrong;
  EXPECT_TRUE(ask("GET /items/a%20b/parts/2?q=1 HTTP/1.1\r\nHost: x\r\n\r\n").ends_with("a b/2"));
  EXPECT_TRUE(ask("GET /items/special/parts/1 HTTP/1.1\r\nHost: x\r\n\r\n").ends_with("literal"));
  EXPECT_TRUE(ask("GET /items/special/parts/2 HTTP/1.1\r\nHost: x\r\n\r\n").ends_with("special/2"));
  EXPECT_TRUE(ask("GET http://x/items/1/parts/2 HTTP/1.1\r\nHost: x\r\n\r\n").ends_with("1/2"));
}

TEST_F(HttpServerTest, HeadIsGetWithoutBody) {
  start();
  RawClient client = connect();
  client.send("HEAD /echo HTTP/1.1\r\nHost: x\r\n\r\nGET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string both =
      client.read_until([](const std::string& text) { return text.ends_with("GET "); });
  EXPECT_EQ(status_of(both), 200);
  EXPECT_NE(both.find("Content-Length: 5\r\n"), both.npos) << both;  // "HEAD "
  const std::size_t end = both.find("\r\n\r\n");
  EXPECT_EQ(status_of(both.substr(end + 4)), 200) << "a body after HEAD's header";
}

TEST_F(HttpServerTest, RefusesWhatIsNotHttp) {
  start();
  for (const char* bad :
       {"nonsense\r\n\r\n", "GET\r\n\r\n", "GET /echo HTTP/9.9\r\nHost: x\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost : x\r\n\r\n", "GET /echo HTTP/1.1\r\n\r\n",
        "GET echo HTTP/1.1\r\nHost: x\r\n\r\n", "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x05\x01\x03\x03 tls hello\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        "0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    RawClient client = connect();
    client.send(bad);
    const std::string response = client.read_response();
    EXPECT_EQ(status_of(response), 400) << bad << response;
    EXPECT_NE(response.find("Connection: close"), response.npos) << bad;
  }
  EXPECT_EQ(status_of(ask("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")), 200);
}

TEST_F(HttpServerTest, LimitsHeaderAndBody) {
  start({.body_limit = 1000});
  const std::string fits(1000, 'b');
  EXPECT_EQ(status_of(ask("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + fits)),
            200);
  // Told at the header, also when the body is never sent, and when all of it is.
  EXPECT_EQ(status_of(ask("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n")), 413);
  RawClient client = connect();
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n" +
              std::string(3'000'000, 'b'));
  EXPECT_EQ(status_of(client.read_response()), 413);
  EXPECT_FALSE(client.reset());
  EXPECT_EQ(status_of(ask("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "800\r\n" +
                          std::string(0x800, 'b') + "\r\n0\r\n\r\n")),
            413);
  const std::string huge(20'000, 'h');
  EXPECT_EQ(status_of(ask("GET /echo HTTP/1.1\r\nHost: x\r\nX-Huge: " + huge + "\r\n\r\n")), 431);
  EXPECT_EQ(status_of(ask("GET /" + huge + " HTTP/1.1\r\nHost: x\r\n\r\n")), 431);
}

TEST_F(HttpServerTest, EndsSlowAndIdleClients) {
  start({.idle_timeout = milliseconds(400), .request_timeout = milliseconds(200)});
  RawClient slow_header = connect();
  const auto begin = steady_clock::now();
  std::jthread drip([&](const std::stop_token& stop) {  // progress does not buy time
    for (const char c : std::string_view("GET /echo HTTP/1.1\r\nHost: a-very-slow-client")) {
      if (stop.stop_requested()) return;
      slow_header.send({&c, 1});
      std::this_thread::sleep_for(milliseconds(20));
    }
  });
  EXPECT_EQ(status_of(slow_header.read_response()), 408);
  EXPECT_LT(steady_clock::now() - begin, milliseconds(2000));
  drip.request_stop();
  drip.join();

  RawClient slow_body = connect();
  slow_body.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf");
  EXPECT_EQ(status_of(slow_body.read_response()), 408);

  RawClient idle = connect();
  idle.send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(status_of(idle.read_response()), 200);
  EXPECT_EQ(idle.read_all(), "");
  EXPECT_TRUE(idle.eof());
}

TEST_F(HttpServerTest, SurvivesVanishingClientsAndThrowingHandlers) {
  start();
  EXPECT_EQ(status_of(ask("GET /throws HTTP/1.1\r\nHost: x\r\n\r\n")), 500);
  for (const char* part : {"", "G", "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n",
                           "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nx"})
    connect().send(part);
  EXPECT_EQ(status_of(ask("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")), 200);
  for (int i = 0; i < 100 && server->connections() > 0; ++i)
    std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(server->connections(), 0u);
}

TEST_F(HttpServerTest, HandlersCannotBreakTheFraming) {
  start();
  const std::string response = ask("GET /header HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(response.find("\nInjected"), response.npos) << response;
  EXPECT_NE(response.find("Content-Length: 1\r\n"), response.npos) << response;
}

TEST_F(HttpServerTest, StreamsEventsAsTheyCome) {
  start();
  RawClient client = connect();
  client.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string first =
      client.read_until([](const std::string& text) { return text.find("one") != text.npos; });
  EXPECT_EQ(first.find("three"), first.npos) << "held back until the end";
  EXPECT_NE(first.find("Content-Type: text/event-stream"), first.npos);
  EXPECT_NE(first.find("Transfer-Encoding: chunked"), first.npos);
  const std::string rest =
      client.read_until([](const std::string& text) { return text.ends_with("0\r\n\r\n"); });
  EXPECT_TRUE(rest.ends_with("e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")) << rest;
  // The connection goes on.
  client.send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(status_of(client.read_response()), 200);

  const auto whole = fetch_path("/events");
  ASSERT_TRUE(whole) << whole.error().message;
  EXPECT_EQ(whole->body, "data: one\n\ndata: two\n\ndata: three\n\ndata: [DONE]\n\n");
  // HTTP/1.0 knows no chunks: bare bytes, then the end.
  RawClient old = connect();
  old.send("GET /events HTTP/1.0\r\n\r\n");
  const std::string bare = old.read_all();
  EXPECT_TRUE(bare.ends_with("\r\n\r\n" + whole->body)) << bare;
  EXPECT_EQ(bare.find("chunked"), bare.npos);
}

TEST_F(HttpServerTest, ABrokenStreamIsNotMistakenForAWholeOne) {
  start();
  RawClient client = connect();
  client.send("GET /broken HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string text = client.read_all();
  EXPECT_TRUE(client.eof());
  EXPECT_TRUE(text.ends_with("4\r\nhalf\r\n")) << text;
  EXPECT_FALSE(fetch_path("/broken"));
}

TEST_F(HttpServerTest, TellsTheProducerThatTheClientLeft) {
  start();
  {
    RawClient client = connect();
    client.send("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n");
    client.read_until([](const std::string& text) { return text.size() > 2000; });
  }
  for (int i = 0; i < 200 && !producer_ended; ++i) std::this_thread::sleep_for(milliseconds(10));
  EXPECT_TRUE(producer_ended);
}

TEST_F(HttpServerTest, AReaderThatStopsReadingIsDropped) {
  start({.write_timeout = milliseconds(200)});
  RawClient client = connect();  // the echo is larger than the sockets' buffers, and never read
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n" +
              std::string(8'000'000, 'b'));
  EXPECT_EQ(server->connections(), 1u);
  const auto end = steady_clock::now() + std::chrono::seconds(5);
  while (server->connections() > 0 && steady_clock::now() < end)
    std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(server->connections(), 0u);
}

TEST_F(HttpServerTest, StopLetsRequestsFinishAndClosesIdleOnes) {
  start();
  RawClient idle = connect(), busy = connect();
  idle.send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
  idle.read_response();
  busy.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
  std::this_thread::sleep_for(milliseconds(100));
  const std::uint16_t port = server->port();
  EXPECT_TRUE(server->stop(std::chrono::seconds(3)));
  const std::string response = busy.read_all();
  EXPECT_TRUE(response.ends_with("slow but done")) << response;
  EXPECT_NE(response.find("Connection: close"), response.npos);
  EXPECT_EQ(idle.read_all(), "");
  EXPECT_TRUE(idle.eof());
  EXPECT_FALSE(RawClient(port).connected());
}

TEST_F(HttpServerTest, StopBreaksOffAtTheDeadline) {
  start();
  RawClient waiting = connect(), streaming = connect();
  waiting.send("GET /never HTTP/1.1\r\nHost: x\r\n\r\n");
  streaming.send("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n");
  streaming.read_until([](const std::string& text) { return text.size() > 2000; });
  const auto begin = steady_clock::now();
  EXPECT_FALSE(server->stop(milliseconds(150)));
  EXPECT_LT(steady_clock::now() - begin, milliseconds(2000));
  EXPECT_EQ(waiting.read_all(), "");
  EXPECT_TRUE(waiting.eof());
  EXPECT_TRUE(producer_ended);
  server.reset();  // destroys the handler that still waits
}

TEST_F(HttpServerTest, ManyConnectionsAtOnce) {
  start({.threads = 2});
  constexpr int kClients = 200;
  std::vector<RawClient> clients;
  clients.reserve(kClients);
  for (int i = 0; i < kClients; ++i) clients.push_back(connect());
  for (int round = 0; round < 3; ++round) {
    const auto begin = steady_clock::now();
    const std::string path = round == 1 ? "/slow" : "/items/1/parts/";
    for (int i = 0; i < kClients; ++i)
      clients[i].send(fmt::format("GET {}{} HTTP/1.1\r\nHost: x\r\n\r\n", path,
                                  round == 1 ? "" : std::to_string(i)));
    for (int i = 0; i < kClients; ++i) {
      const std::string want = round == 1 ? "slow but done" : fmt::format("1/{}", i);
      EXPECT_TRUE(clients[i].read_response().ends_with(want)) << i;
    }
    // 200 handlers of 0.3 s wait at the same time, not one after the other.
    EXPECT_LT(steady_clock::now() - begin, std::chrono::seconds(5));
  }
  EXPECT_EQ(server->connections(), static_cast<std::size_t>(kClients));
}

TEST_F(HttpServerTest, RefusesConnectionsBeyondTheLimit) {
  start({.max_connections = 2});
  RawClient a = connect(), b = connect();
  for (RawClient* client : {&a, &b}) {
    client->send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(status_of(client->read_response()), 200);
  }
  const std::string third = ask("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(status_of(third), 503);
  EXPECT_NE(third.find("Retry-After: "), third.npos);
  a.close();
  int status = 0;
  for (int i = 0; i < 50 && status != 200; ++i) {
    status = status_of(ask("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"));
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_EQ(status, 200);
}

TEST_F(HttpServerTest, ListenErrorsSayWhatToDo) {
  start();
  const auto taken = HttpServer::start({.port = server->port()}, Router());
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, ErrorCode::kUnreachable);
  EXPECT_NE(taken.error().message.find(std::to_string(server->port())), std::string::npos);
  EXPECT_NE(taken.error().message.find("--port"), std::string::npos);
  const auto name = HttpServer::start({.host = "no.such.host"}, Router());
  ASSERT_FALSE(name);
  EXPECT_EQ(name.error().code, ErrorCode::kUsage);
  const auto foreign = HttpServer::start({.host = "192.0.2.1"}, Router());
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().code, ErrorCode::kUsage);
}

TEST_F(HttpServerTest, ClientReportsWhatItCannotReach) {
  start({.idle_timeout = milliseconds(300)});
  const std::uint16_t port = server->port();
  const auto url = fmt::format("http://127.0.0.1:{}/never", port);
  const auto late = fetch_blocking({.url = url}, {.io_timeout = milliseconds(100)});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kUnreachable);
  EXPECT_NE(late.error().message.find("too long"), std::string::npos) << late.error().message;
  // Bytes that keep coming buy time only up to the limit of the whole.
  const auto endless =
      fetch_blocking({.url = fmt::format("http://127.0.0.1:{}/endless", port)},
                     {.total_timeout = milliseconds(300), .body_limit = std::size_t{1} << 40});
  ASSERT_FALSE(endless);
  EXPECT_NE(endless.error().message.find("too long"), std::string::npos) << endless.error().message;
  server->stop(milliseconds(0));
  server.reset();
  const auto gone = fetch_blocking({.url = url});
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, ErrorCode::kUnreachable);
  EXPECT_NE(gone.error().message.find(std::to_string(port)), std::string::npos);
}

TEST_F(HttpServerTest, ClientSendsAndReads) {
  start();
  const auto url = fmt::format("http://127.0.0.1:{}/echo", server->port());
  const std::string body(200'000, 'z');
  const auto answer = fetch_blocking({.method = "POST", .url = url, .body = body});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "POST " + body);
  const auto head = fetch_blocking({.method = "HEAD", .url = url});
  ASSERT_TRUE(head) << head.error().message;
  EXPECT_EQ(head->body, "");
  const auto missing = fetch_path("/no");
  ASSERT_TRUE(missing);
  EXPECT_EQ(missing->status, 404);
}

TEST(WaitForStopSignal, TakesTheSignalFromTheInterruptFlag) {
  install_interrupt_handlers();
  std::jthread killer([] {
    std::this_thread::sleep_for(milliseconds(300));
    ::kill(::getpid(), SIGTERM);
  });
  EXPECT_EQ(wait_for_stop_signal(), SIGTERM);
  EXPECT_FALSE(interrupted()) << "work in flight would be broken off";
}

}  // namespace
}  // namespace tack::net
