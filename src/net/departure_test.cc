// Handlers hear that their client has left; streams beat while they wait.
#include "net/departure.h"

#include <atomic>
#include <chrono>
#include <ctime>
#include <functional>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "net/raw_client.h"
#include "net/server.h"
#include "net/test_loop.h"
#include "net/wakeup.h"

namespace tack::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

TEST(Departure, CallsBackOnceAndOnlyWhileWatched) {
  int begun = 0, first = 0, second = 0, late = 0;
  const auto token = std::make_shared<Departure>([&] { ++begun; });
  EXPECT_EQ(begun, 0);
  {
    const auto forgotten = token->on_gone([&] { ADD_FAILURE() << "no longer watched"; });
    EXPECT_EQ(begun, 1);
  }
  Departure::Watch other;
  const auto watch = token->on_gone([&] {
    ++first;
    other = {};  // a callback may take another one off
  });
  other = token->on_gone([&] { ++second; });
  EXPECT_EQ(begun, 1);
  EXPECT_FALSE(token->gone());
  token->depart();
  token->depart();
  EXPECT_TRUE(token->gone());
  EXPECT_EQ(first, 1);
  EXPECT_EQ(second, 0);
  const auto after = token->on_gone([&] { ++late; });
  EXPECT_EQ(late, 1);
}

TEST(Departure, IsSilentWhenTheAnswerIsComplete) {
  const auto token = std::make_shared<Departure>([] { ADD_FAILURE() << "nobody watches"; });
  token->finish();
  const auto watch = token->on_gone([] { ADD_FAILURE(); });
}

class DepartureServer : public ::testing::Test {
 protected:
  void start(ServerOptions options = {}) {
    Router router;
    Handler waits = [this](Request request) -> Async<Response> {
      return wait_for_departure(std::move(request));
    };
    router.add("POST", "/waits", waits);
    Handler streams = [this](Request request) -> Async<Response> {
      const auto departure = request.departure;
      StreamProducer producer = [this, departure](ResponseStream& stream) -> Async<void> {
        co_await stream.write("data: first\n\n");
        co_await note_departure(departure);
      };
      co_return Response::events(producer);
    };
    router.add("POST", "/streams", streams);
    Handler beats = [](Request) -> Async<Response> {
      StreamProducer producer = [](ResponseStream& stream) -> Async<void> {
        co_await pause_for(milliseconds(130));
        co_await stream.write("data: one\n\n");
        for (int i = 0; i < 20; ++i) {
          co_await pause_for(milliseconds(5));
          co_await stream.write("data: quick\n\n");
        }
        co_await pause_for(milliseconds(80));
        co_await stream.write("data: [DONE]\n\n");
      };
      co_return Response::events(producer, milliseconds(50));
    };
    router.add("GET", "/beats", beats);
    Handler races = [](Request) -> Async<Response> {
      StreamProducer producer = [](ResponseStream& stream) -> Async<void> {
        const std::string event = "data: " + std::string(3000, 'x') + "\n\n";
        for (int i = 0; i < 300; ++i) {
          if (i % 7 == 0) co_await pause_for(milliseconds(1));
          co_await stream.write(event);
        }
      };
      co_return Response::events(producer, milliseconds(1));
    };
    router.add("GET", "/races", races);
    auto started = HttpServer::start(options, std::move(router));
    ASSERT_TRUE(started) << started.error().message;
    server = std::move(*started);
  }

  Async<void> note_departure(std::shared_ptr<Departure> departure) {
    const auto wakeup = std::make_shared<Wakeup>(co_await boost::asio::this_coro::executor);
    const auto watch = departure->on_gone([wakeup] { wakeup->wake_here(); });
    ++waiting;
    if (co_await wakeup->sleep_until(steady_clock::now() + wait_limit)) ++gone;
    --waiting;
  }
  Async<Response> wait_for_departure(Request request) {
    co_await note_departure(request.departure);
    co_return Response::text(200, request.body);
  }

  bool soon(const std::function<bool()>& condition) {
    const auto end = steady_clock::now() + std::chrono::seconds(3);
    while (!condition() && steady_clock::now() < end) std::this_thread::sleep_for(milliseconds(2));
    return condition();
  }

  std::atomic<int> waiting{0}, gone{0};
  std::chrono::milliseconds wait_limit{10'000};
  std::unique_ptr<HttpServer> server;
};

constexpr std::string_view kWaits =
    "POST /waits HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi";

TEST_F(DepartureServer, AHandlerHearsThatItsClientLeft) {
  start();
  for (const std::string_view request :
       {kWaits,
        std::string_view("POST /streams HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")}) {
    const int before = gone;
    RawClient client(server->port());
    client.send(request);
    ASSERT_TRUE(soon([&] { return waiting == 1; }));
    std::this_thread::sleep_for(milliseconds(20));
    EXPECT_EQ(gone, before);
    const auto begin = steady_clock::now();
    client.close();
    EXPECT_TRUE(soon([&] { return gone == before + 1; }));
    EXPECT_LT(steady_clock::now() - begin, milliseconds(500));
    EXPECT_TRUE(soon([&] { return server->connections() == 0; }));
  }
}

TEST_F(DepartureServer, AResetIsADepartureToo) {
  start();
  RawClient client(server->port());
  client.send(kWaits);
  ASSERT_TRUE(soon([&] { return waiting == 1; }));
  client.reset_connection();
  EXPECT_TRUE(soon([&] { return gone == 1; }));
}

TEST_F(DepartureServer, OneWhoStaysIsNotGone) {
  wait_limit = milliseconds(30);
  start();
  RawClient client(server->port());
  for (int i = 0; i < 5; ++i) {  // the watch of one request is left over for the next
    client.send(kWaits);
    EXPECT_TRUE(client.read_response().ends_with("hi"));
  }
  EXPECT_EQ(gone, 0);
}

TEST_F(DepartureServer, TheNextRequestIsNoDeparture) {
  wait_limit = milliseconds(200);
  start();
  RawClient client(server->port());
  client.send(kWaits);
  ASSERT_TRUE(soon([&] { return waiting == 1; }));
  const std::clock_t before = std::clock();
  client.send(kWaits);  // pipelined while the first is answered
  EXPECT_TRUE(client.read_response().ends_with("hi"));
  // A busy loop would have taken the whole time.
  EXPECT_LT(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC, 0.1);
  EXPECT_TRUE(client.read_response().ends_with("hi"));
  EXPECT_EQ(gone, 0);
  // Both come in one packet, and the client leaves during the second.
  client.send(std::string(kWaits) + std::string(kWaits));
  EXPECT_TRUE(client.read_response().ends_with("hi"));
  ASSERT_TRUE(soon([&] { return waiting == 1; }));
  client.close();
  EXPECT_TRUE(soon([&] { return gone == 1; }));
}

TEST_F(DepartureServer, StoppingIsADeparture) {
  start();
  RawClient client(server->port());
  client.send(kWaits);
  ASSERT_TRUE(soon([&] { return waiting == 1; }));
  server->stop(milliseconds(50));
  EXPECT_EQ(gone, 1);
}

std::string unchunk(std::string_view body) {
  std::string out;
  while (!body.empty()) {
    std::size_t used = 0;
    const std::size_t size = std::stoul(std::string(body.substr(0, 10)), &used, 16);
    body.remove_prefix(used + 2);
    out.append(body.substr(0, size));
    body.remove_prefix(size + 2);
  }
  return out;
}

std::string read_stream(RawClient& client) {
  const std::string text =
      client.read_until([](const std::string& t) { return t.ends_with("0\r\n\r\n"); });
  return unchunk(std::string_view(text).substr(text.find("\r\n\r\n") + 4));
}

TEST_F(DepartureServer, StreamsBeatWhenTheyAreSilent) {
  start();
  RawClient client(server->port());
  client.send("GET /beats HTTP/1.1\r\nHost: x\r\n\r\n");
  std::string want = ": keep-alive\n\n: keep-alive\n\ndata: one\n\n";
  for (int i = 0; i < 20; ++i) want += "data: quick\n\n";
  want += ": keep-alive\n\ndata: [DONE]\n\n";
  EXPECT_EQ(read_stream(client), want);
  // Nothing beats between the requests of a connection.
  std::this_thread::sleep_for(milliseconds(150));
  client.send("GET /beats HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(read_stream(client), want);
}

TEST_F(DepartureServer, AHeartbeatNeverCutsAnEvent) {
  start({.threads = 2});
  RawClient client(server->port());
  client.send("GET /races HTTP/1.1\r\nHost: x\r\n\r\n");
  std::string text = read_stream(client);
  const std::string event = "data: " + std::string(3000, 'x') + "\n\n";
  int events = 0, beats = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    const bool beat = rest.starts_with(": keep-alive\n\n");
    ASSERT_TRUE(beat || rest.starts_with(event)) << rest.substr(0, 40);
    rest.remove_prefix(beat ? 14 : event.size());
    ++(beat ? beats : events);
  }
  EXPECT_EQ(events, 300);
  EXPECT_GT(beats, 3);
}

}  // namespace
}  // namespace tack::net
