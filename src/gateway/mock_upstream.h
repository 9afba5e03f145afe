// For tests and load: an OpenAI-compatible server that misbehaves when asked to. A request whose
// model is "fault-NAME", or that has the header "x-fault: NAME", gets that fault:
//
//   400 .. 599            that status with an error object; 429-retry-after-N: with Retry-After: N
//   401-text, html        an error that is no JSON; a page instead of an answer
//   redirect              301
//   flaky-N               503 the first N times this model is asked, then an answer
//   cut-headers, cut-N    closes within the header, after N events (N bytes of a body)
//   close                 closes without an answer
//   silent, stall-N       says nothing, says nothing more after N events, until the client leaves
//   slow-first-byte-MS, slow-tokens-MS
//   malformed-json, malformed-sse, garbage, not-utf8, not-an-answer
//   huge                  a body, or an event, that does not end
//   never-ends            events for ever
//   no-usage, no-done, no-finish (neither "[DONE]" nor a finish_reason)
//   error-in-stream-N     an error object after N events; error-in-body: in an answer of status 200
//   tools, logprobs, comments (before the first event)
//   no-stream-options     400 when "stream_options" is sent
#pragma once

#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "base/result.h"
#include "gateway/mock_answers.h"
#include "net/async.h"

namespace tack::gateway {

struct MockOptions {
  std::uint16_t port = 0;
  int threads = 1;
  int tokens = 16;                           // of an answer
  std::chrono::milliseconds latency{0};      // before an answer
  std::chrono::milliseconds token_pause{0};  // between the events; 0: all are sent at once
  bool record = false;                       // keep the requests
};

class MockUpstream {
 public:
  static Result<std::unique_ptr<MockUpstream>> start(const MockOptions& options) {
    std::unique_ptr<MockUpstream> mock(new MockUpstream(options));
    boost::system::error_code error;
    const Tcp::endpoint endpoint(boost::asio::ip::address_v4::loopback(), options.port);
    mock->acceptor_.open(endpoint.protocol(), error);
    mock->acceptor_.set_option(Tcp::acceptor::reuse_address(true), error);
    mock->acceptor_.bind(endpoint, error);
    if (!error) mock->acceptor_.listen(4096, error);
    if (error) return fail(ErrorCode::kUnreachable, "port {}: {}", options.port, error.message());
    boost::asio::co_spawn(mock->io_, mock->accept_all(), boost::asio::detached);
    for (int i = 0; i < options.threads; ++i)
      mock->threads_.emplace_back([io = &mock->io_] { io->run(); });
    return mock;
  }
  ~MockUpstream() {
    io_.stop();
    threads_.clear();  // joins
  }

  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  std::string url() const { return fmt::format("http://127.0.0.1:{}/v1", port()); }
  int requests() const { return requests_; }
  int connections() const { return connections_; }  // since the start
  int abandoned() const { return abandoned_; }      // answers whose client left
  // With `record`: head and body of each.
  std::vector<std::pair<std::string, std::string>> recorded() const {
    const std::lock_guard lock(mutex_);
    return recorded_;
  }

 private:
  using Tcp = boost::asio::ip::tcp;
  using milliseconds = std::chrono::milliseconds;

  // One connection.
  struct Peer {
    explicit Peer(Tcp::socket s) : socket(std::move(s)) {}
    Tcp::socket socket;
    std::string have;  // read and not used yet
    bool broken = false;

    net::Async<bool> fill() {
      boost::system::error_code error;
      const std::size_t before = have.size();
      have.resize(before + 16 * 1024);
      const auto space = boost::asio::buffer(have.data() + before, have.size() - before);
      const std::size_t bytes = co_await socket.async_read_some(
          space, boost::asio::redirect_error(boost::asio::use_awaitable, error));
      have.resize(before + bytes);
      co_return !error;
    }
    net::Async<bool> write(std::string_view bytes) {
      boost::system::error_code error;
      co_await boost::asio::async_write(
          socket, boost::asio::buffer(bytes.data(), bytes.size()),
          boost::asio::redirect_error(boost::asio::use_awaitable, error));
      broken = broken || error;
      co_return !broken;
    }
    net::Async<bool> write_chunk(std::string_view text) {
      const std::string bytes = fmt::format("{:x}\r\n{}\r\n", text.size(), text);
      co_return co_await write(bytes);
    }
    net::Async<bool> write_event(std::string_view data) {
      const std::string bytes = fmt::format("{:x}\r\ndata: {}\n\n\r\n", data.size() + 8, data);
      co_return co_await write(bytes);
    }
  };

  struct Fault {
    std::string name;  // "cut"
    int number = 0;    // of "cut-3"
    bool is(std::string_view other) const { return name == other; }
  };

  explicit MockUpstream(const MockOptions& options)
      : options_(options), io_(options.threads), acceptor_(io_) {}

  // "slow-tokens-20" -> {"slow-tokens", 20}; a bare number stays a name.
  static Fault parse_fault(std::string_view spec) {
    Fault fault{std::string(spec)};
    const std::size_t dash = spec.rfind('-');
    if (dash == spec.npos) return fault;
    const std::string_view digits = spec.substr(dash + 1);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), fault.number);
    if (error == std::errc() && end == digits.data() + digits.size())
      fault.name = spec.substr(0, dash);
    return fault;
  }

  net::Async<void> accept_all() {
    while (true) {
      boost::system::error_code error;
      Tcp::socket socket = co_await acceptor_.async_accept(
          boost::asio::make_strand(io_),
          boost::asio::redirect_error(boost::asio::use_awaitable, error));
      if (error) co_return;
      ++connections_;
      socket.set_option(Tcp::no_delay(true), error);
      const auto executor = socket.get_executor();
      boost::asio::co_spawn(executor, serve(std::make_unique<Peer>(std::move(socket))),
                            boost::asio::detached);
    }
  }

  net::Async<void> serve(std::unique_ptr<Peer> peer) {
    bool more = true;
    while (more) {
      std::size_t head = peer->have.find("\r\n\r\n");
      while (head == std::string::npos) {
        if (!co_await peer->fill()) co_return;
        head = peer->have.find("\r\n\r\n");
      }
      head += 4;
      for (char& c : std::span(peer->have).first(head))  // header names have no case
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
      const std::size_t length = peer->have.find("content-length: ");
      const std::size_t size =
          length < head ? std::strtoul(peer->have.c_str() + length + 16, nullptr, 10) : 0;
      while (peer->have.size() < head + size)
        if (!co_await peer->fill()) co_return;
      const std::string request = peer->have.substr(0, head + size);
      peer->have.erase(0, head + size);
      more = co_await answer(*peer, std::string_view(request).substr(0, head),
                             std::string_view(request).substr(head));
    }
  }

  // False: the connection is to be closed.
  net::Async<bool> answer(Peer& peer, std::string_view head, std::string_view body) {
    ++requests_;
    if (options_.record) {
      const std::lock_guard lock(mutex_);
      recorded_.emplace_back(head, body);
    }
    const std::string_view target = head.substr(head.find(' ') + 1);
    const auto request = read_mock_request(target.substr(0, target.find(' ')), body);
    if (!request || request->endpoint.empty())
      co_return co_await send_error(peer, 400, "the mock does not understand this request", "");
    Fault fault;
    const std::size_t header = head.find("\r\nx-fault: ");
    if (header != head.npos)
      fault = parse_fault(head.substr(header + 11, head.find('\r', header + 11) - header - 11));
    else if (request->model.starts_with("fault-"))
      fault = parse_fault(std::string_view(request->model).substr(6));
    if (options_.latency.count() > 0) co_await pause(options_.latency);
    if (fault.is("slow-first-byte")) co_await pause(milliseconds(fault.number));
    if (fault.is("flaky") && count(request->model) <= fault.number)
      co_return co_await send_error(peer, 503, "try again", "");
    if (!fault.name.empty() && fault.name.find_first_not_of("0123456789") == std::string::npos)
      co_return co_await send_error(peer, std::stoi(fault.name), "as asked for", "");
    if (fault.is("429-retry-after"))
      co_return co_await send_error(peer, 429, "slow down",
                                    fmt::format("Retry-After: {}\r\n", fault.number));
    if (fault.is("no-stream-options") && body.find("stream_options") != body.npos)
      co_return co_await send_error(peer, 400, "Unrecognized request argument: stream_options", "");
    if (!co_await before_an_answer(peer, fault)) co_return false;
    if (request->stream) co_return co_await send_stream(peer, *request, fault);
    co_return co_await send_body(peer, *request, fault);
  }

  // Faults in which no answer begins; false when one has taken the connection.
  net::Async<bool> before_an_answer(Peer& peer, const Fault& fault) {
    if (fault.is("close")) co_return false;
    if (fault.is("silent")) co_return co_await await_departure(peer);
    std::string_view bytes;
    if (fault.is("cut-headers")) bytes = "HTTP/1.1 200 OK\r\nContent-Ty";
    if (fault.is("garbage")) bytes = "\x16\x03\x01 no HTTP at all \xff\xfe\r\n\r\n";
    if (fault.is("redirect"))
      bytes = "HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    if (fault.is("html"))
      bytes =
          "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n"
          "<html>no</html>";
    if (fault.is("401-text"))
      bytes = "HTTP/1.1 401 No\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nwrong key";
    if (bytes.empty()) co_return true;
    co_await peer.write(bytes);
    co_return false;
  }

  net::Async<bool> send_error(Peer& peer, int status, std::string_view message,
                              std::string_view headers) {
    const std::string body = fmt::format(
        R"({{"error":{{"message":"{}","type":"mock_error","param":"model","code":"mock_{}"}}}})",
        message, status);
    const std::string bytes = fmt::format(
        "HTTP/1.1 {} Mock\r\nContent-Type: application/json\r\n{}Content-Length: {}\r\n\r\n{}",
        status, headers, body.size(), body);
    co_return co_await peer.write(bytes);
  }

  net::Async<bool> send_body(Peer& peer, const MockRequest& request, const Fault& fault) {
    const MockAnswers answers(request, options_.tokens);
    std::string body = answers.body(!fault.is("no-usage"), fault.is("logprobs"));
    if (fault.is("malformed-json")) body.resize(body.size() / 2);
    if (fault.is("not-utf8")) body.insert(body.find("mock"), "\xff\xfe");
    if (fault.is("not-an-answer")) body = R"({"object":"something else"})";
    if (fault.is("error-in-body"))
      body = R"({"error":{"message":"out of luck","type":"mock_error","code":"bad_luck"}})";
    if (fault.is("huge") || fault.is("never-ends")) co_return co_await send_for_ever(peer);
    std::string bytes = fmt::format(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: mock-{}\r\n"
        "x-ratelimit-remaining-requests: 99\r\nContent-Length: {}\r\n\r\n",
        requests_.load(), body.size());
    const std::size_t head = bytes.size();
    bytes += body;
    const bool cut = fault.is("cut");
    if (cut) bytes.resize(head + static_cast<std::size_t>(fault.number));
    co_await peer.write(bytes);
    if (fault.is("stall")) co_return co_await await_departure(peer);
    co_return !peer.broken && !cut;
  }

  net::Async<bool> send_for_ever(Peer& peer) {
    co_await peer.write(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n3\r\n[0,\r\n");
    const std::string piece = "10000\r\n" + std::string(65536, ' ') + "\r\n";
    for (bool there = true; there;) there = co_await peer.write(piece);
    ++abandoned_;
    co_return false;
  }

  net::Async<bool> send_stream(Peer& peer, const MockRequest& request, const Fault& fault) {
    const MockAnswers answers(request, options_.tokens);
    const bool usage = request.include_usage && !fault.is("no-usage");
    std::vector<std::string> events = fault.is("tools")
                                          ? answers.tool_events(usage)
                                          : answers.events(usage, fault.is("logprobs"));
    if (fault.is("malformed-json")) events.front().pop_back();
    if (fault.is("not-utf8")) events.front().insert(events.front().find("mock"), "\xff\xfe");
    if (fault.is("not-an-answer")) events.front() = "[1, 2]";
    if (fault.is("no-finish")) events.resize(3);
    if (fault.is("error-in-stream"))
      events.insert(events.begin() + fault.number,
                    R"({"error":{"message":"out of luck","type":"mock_error","code":"bad_luck"}})");
    if (!fault.is("no-done") && !fault.is("no-finish")) events.emplace_back("[DONE]");
    co_await peer.write(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nx-request-id: mock-stream\r\n"
        "Transfer-Encoding: chunked\r\n\r\n");
    if (fault.is("huge")) co_return co_await send_long_event(peer);
    if (fault.is("malformed-sse")) {
      co_await peer.write_chunk("{\"choices\": \"no event\"}\n\n");
      co_return co_await await_departure(peer);
    }
    if (fault.is("comments")) co_await peer.write_chunk(": one\n\n: two\n\n\n\n");
    if (fault.is("never-ends")) co_return co_await send_events_for_ever(peer, events[1]);
    const bool cut = fault.is("cut");
    const bool stall = fault.is("stall");
    if (cut || stall) events.resize(static_cast<std::size_t>(fault.number));
    const milliseconds between =
        fault.is("slow-tokens") ? milliseconds(fault.number) : options_.token_pause;
    co_await send_events(peer, events, between);
    if (stall) co_return co_await await_departure(peer);
    if (cut) co_return false;
    co_return co_await peer.write("0\r\n\r\n");
  }

  net::Async<void> send_events(Peer& peer, const std::vector<std::string>& events,
                               milliseconds between) {
    std::string all;
    for (const std::string& event : events) {
      if (between.count() == 0) {
        all += fmt::format("{:x}\r\ndata: {}\n\n\r\n", event.size() + 8, event);
        continue;
      }
      if (!co_await peer.write_event(event)) {
        ++abandoned_;
        co_return;
      }
      co_await pause(between);
    }
    if (!all.empty()) co_await peer.write(all);
  }

  net::Async<bool> send_long_event(Peer& peer) {
    co_await peer.write("6\r\ndata: \r\n");
    const std::string piece = "10000\r\n" + std::string(65536, 'x') + "\r\n";
    for (bool there = true; there;) there = co_await peer.write(piece);
    ++abandoned_;
    co_return false;
  }

  net::Async<bool> send_events_for_ever(Peer& peer, const std::string& event) {
    for (bool there = true; there;) {
      there = co_await peer.write_event(event);
      co_await pause(milliseconds(2));
    }
    ++abandoned_;
    co_return false;
  }

  net::Async<bool> await_departure(Peer& peer) {
    for (bool there = true; there;) there = co_await peer.fill();
    ++abandoned_;
    co_return false;
  }

  static net::Async<void> pause(milliseconds time) {
    boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, time);
    co_await timer.async_wait(boost::asio::use_awaitable);
  }

  int count(const std::string& model) {
    const std::lock_guard lock(mutex_);
    return ++asked_[model];
  }

  const MockOptions options_;
  std::atomic<int> requests_{0}, connections_{0}, abandoned_{0};
  mutable std::mutex mutex_;
  std::map<std::string, int> asked_;
  std::vector<std::pair<std::string, std::string>> recorded_;
  boost::asio::io_context io_;
  Tcp::acceptor acceptor_;
  std::vector<std::jthread> threads_;
};

}  // namespace tack::gateway
