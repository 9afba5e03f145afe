// What the transport and an upstream cost by themselves, without the gateway's accounts and routes.
//
//   build/tack_relay --upstream http://127.0.0.1:9100/v1 --requests 100000 --at-once 32 [--stream]
//   build/tack_relay --upstream http://127.0.0.1:9100/v1 --listen 9101      then tack_load
//
// The first asks in a loop from one thread; the second is a server that passes every chat on.
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <fmt/format.h>
#include <sys/resource.h>

#include "gateway/upstream.h"
#include "net/client_pool.h"
#include "net/server.h"

namespace tack::gateway {
namespace {

struct Options {
  std::string upstream = "http://127.0.0.1:9100/v1";
  int listen = 0, threads = 1;
  long requests = 100'000;
  int at_once = 32;
  bool stream = false, pool_only = false;
};

std::shared_ptr<Call> make_call(bool stream) {
  auto call = std::make_shared<Call>();
  call->body = {{"model", "mock"},
                {"messages", {{{"role", "user"}, {"content", std::string(200, 'x')}}}}};
  if (stream) call->body["stream"] = true;
  call->stream = stream;
  return call;
}

struct Loop {
  const Options& options;
  Upstream& upstream;
  net::ClientPool& pool;
  long left, failed = 0, events = 0;

  net::Async<void> ask_upstream() {
    const auto call = make_call(options.stream);
    while (left-- > 0) {
      auto cleared = Policy::clear(call, {}, "mock", "mock");
      auto reply = co_await upstream.send(*std::move(cleared));
      failed += !reply;
      bool more = reply && reply->events;
      while (more) {
        const auto event = co_await reply->events->next();
        failed += !event;
        more = event && *event;
        events += more;
      }
    }
  }
  net::Async<void> ask_pool() {
    const std::string body = to_text(make_call(options.stream)->body);
    while (left-- > 0) {
      net::PoolRequest request{.target = "/v1/chat/completions", .body = body};
      request.headers.add("Content-Type", "application/json");
      auto answer = co_await pool.send(std::move(request));
      failed += !answer || answer->status() != 200;
      if (!answer) continue;
      const auto rest = co_await answer->rest();
      failed += !rest;
    }
  }
};

double cpu_seconds() {
  rusage use{};
  ::getrusage(RUSAGE_SELF, &use);
  return static_cast<double>(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
         static_cast<double>(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
}

int measure(const Options& options, Upstream& upstream, net::ClientPool& pool) {
  boost::asio::io_context io(1);
  Loop loop{options, upstream, pool, options.requests};
  const auto begin = std::chrono::steady_clock::now();
  int running = options.at_once;
  for (int i = 0; i < options.at_once; ++i)
    boost::asio::co_spawn(boost::asio::make_strand(io),
                          options.pool_only ? loop.ask_pool() : loop.ask_upstream(),
                          [&](std::exception_ptr) {
                            if (--running == 0) io.stop();
                          });
  io.run();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  fmt::print(
      R"({{"requests": {}, "failed": {}, "events": {}, "seconds": {:.2f}, "requests_per_s": {:.0f}, "cpu_us_per_request": {:.1f}}})"
      "\n",
      options.requests, loop.failed, loop.events, seconds,
      static_cast<double>(options.requests) / seconds,
      cpu_seconds() / static_cast<double>(options.requests) * 1e6);
  return loop.failed > 0 ? 1 : 0;
}

net::Async<net::Response> pass_on(Upstream& upstream, net::Request request) {
  auto call = std::make_shared<Call>();
  auto body = request.json();
  if (!body) co_return net::Response::text(400, body.error().message);
  call->body = *std::move(body);
  call->stream = call->body.value("stream", false);
  call->departure = request.departure;
  auto cleared = Policy::clear(call, {}, "mock", "mock");
  auto reply = co_await upstream.send(*std::move(cleared));
  if (!reply) co_return failure_response(reply.error());
  if (!reply->events) co_return net::Response::json_text(200, std::move(reply->body));
  const std::shared_ptr<EventStream> events = std::move(reply->events);
  net::StreamProducer producer = [events](net::ResponseStream& out) -> net::Async<void> {
    bool there = true;
    while (there) {
      const auto event = co_await events->next();
      const bool more = event && *event;
      std::string bytes = net::sse_event(more ? std::string_view(**event) : "[DONE]");
      there = co_await out.write(std::move(bytes));
      there = there && more;
    }
  };
  co_return net::Response::events(std::move(producer));
}

int serve(const Options& options, Upstream& upstream) {
  net::Router router;
  net::Handler handler = [&](net::Request request) {
    return pass_on(upstream, std::move(request));
  };
  router.add("POST", "/v1/chat/completions", handler);
  // The server alone, without and with a watch for the client's departure.
  net::Handler echo = [](net::Request request) -> net::Async<net::Response> {
    co_return net::Response::json_text(200, std::move(request.body));
  };
  router.add("POST", "/echo", echo);
  net::Handler watched = [](net::Request request) -> net::Async<net::Response> {
    const auto watch = request.departure->on_gone([] {});
    co_return net::Response::json_text(200, std::move(request.body));
  };
  router.add("POST", "/watched", watched);
  auto server = net::HttpServer::start(
      {.port = static_cast<std::uint16_t>(options.listen), .threads = options.threads},
      std::move(router));
  if (!server) {
    std::fprintf(stderr, "%s\n", server.error().message.c_str());
    return 1;
  }
  net::wait_for_stop_signal();
  (*server)->stop(std::chrono::milliseconds(1000));
  const net::PoolCounts counts = upstream.connections();
  fmt::print("{{\"cpu_seconds\": {:.2f}, \"opened\": {}, \"reopened\": {}}}\n", cpu_seconds(),
             counts.opened, counts.reopened);
  return 0;
}

int main_of(int argc, char** argv) {
  Options options;
  CLI::App app("What the transport and an upstream cost by themselves.");
  app.add_option("--upstream", options.upstream)->capture_default_str();
  app.add_option("--listen", options.listen, "a port: serve instead of asking");
  app.add_option("--threads", options.threads, "of the server")->capture_default_str();
  app.add_option("--requests", options.requests)->capture_default_str();
  app.add_option("--at-once", options.at_once)->capture_default_str();
  app.add_flag("--stream", options.stream);
  app.add_flag("--pool-only", options.pool_only, "the pool of connections alone");
  CLI11_PARSE(app, argc, argv);
  UpstreamConfig config;
  config.name = "mock";
  config.base_url = options.upstream;
  config.max_connections = 4096;
  auto upstream = Upstream::create(config, "");
  auto pool = net::ClientPool::create(options.upstream, {.max_connections = 4096});
  if (!upstream || !pool) {
    std::fprintf(stderr, "--upstream must be a URL\n");
    return 2;
  }
  return options.listen > 0 ? serve(options, **upstream) : measure(options, **upstream, **pool);
}

}  // namespace
}  // namespace tack::gateway

int main(int argc, char** argv) {
  return tack::gateway::main_of(argc, argv);
}
