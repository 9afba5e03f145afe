#include "net/server.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <ctime>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <sys/resource.h>

#include "base/interrupt.h"
#include "base/log.h"
#include "net/chunk_stream.h"
#include "net/server_connection.h"

namespace tack::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using std::chrono::milliseconds;
using ErrorCodeAsio = boost::system::error_code;

constexpr milliseconds kLinger{2'000};
constexpr std::size_t kReadChunk = 4096;

auto into(ErrorCodeAsio& error) {
  return asio::redirect_error(asio::use_awaitable, error);
}

using Connection = ServerConnection;
using ConnectionPtr = std::shared_ptr<Connection>;

std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[64];
  const std::size_t length = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return {text, length};
}

// What of a response belongs to the message, not to the handler.
bool is_framing(std::string_view name) {
  return beast::iequals(name, "Content-Length") || beast::iequals(name, "Transfer-Encoding") ||
         beast::iequals(name, "Connection");
}

// "/path?query" out of what a request line may hold: also "http://host/path?query".
std::string_view origin_form(std::string_view target) {
  if (target.starts_with('/')) return target;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!beast::iequals(target.substr(0, scheme.size()), scheme)) continue;
    const std::size_t path = target.find_first_of("/?", scheme.size());
    if (path == target.npos) return "/";
    return target[path] == '/' ? target.substr(path) : std::string_view{};
  }
  return {};
}

// How a request that could not be read is answered; 0: the client is gone, say nothing.
int status_for(const ErrorCodeAsio& error) {
  if (error == http::error::body_limit) return 413;
  if (error == http::error::header_limit || error == http::error::buffer_overflow) return 431;
  if (error == http::error::end_of_stream || error == http::error::partial_message) return 0;
  return error.category() == http::make_error_code(http::error::bad_method).category() ? 400 : 0;
}

void allow_many_files(std::size_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, wanted);
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) log_debug("cannot raise the limit of open files");
}

Result<tcp::endpoint> endpoint_of(const ServerOptions& options) {
  std::string host = options.host == "localhost" ? "127.0.0.1" : options.host;
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  ErrorCodeAsio error;
  const auto address = asio::ip::make_address(host, error);
  if (error)
    return fail(ErrorCode::kUsage,
                "cannot listen on '{}': not an IP address; use 127.0.0.1 (this machine only), "
                "0.0.0.0 (every interface) or an address of this machine",
                options.host);
  return tcp::endpoint(address, options.port);
}

std::unexpected<Error> listen_error(const ServerOptions& options, const ErrorCodeAsio& error) {
  if (error == asio::error::address_in_use)
    return fail(ErrorCode::kUnreachable,
                "port {} on {} is in use; stop the program that listens there or choose another "
                "port (--port, 0 takes any free one)",
                options.port, options.host);
  if (error == asio::error::access_denied)
    return fail(ErrorCode::kUnreachable,
                "port {} on {} needs more rights; choose one from 1024 up (--port)", options.port,
                options.host);
  if (error == boost::system::errc::address_not_available)
    return fail(ErrorCode::kUsage, "cannot listen on {}: not an address of this machine (--host)",
                options.host);
  return fail(ErrorCode::kUnreachable, "cannot listen on {} port {}: {}", options.host,
              options.port, error.message());
}

}  // namespace

struct HttpServer::Impl {
  Impl(const ServerOptions& o, Router r)
      : options(o),
        router(std::move(r)),
        io(std::max(1, o.threads)),
        acceptor(asio::make_strand(io)) {}

  Status listen();
  void run();
  bool stop(milliseconds grace);

  Async<void> accept_loop();
  Async<void> refuse(ConnectionPtr connection);
  Async<void> converse(ConnectionPtr connection);
  Async<bool> answer_one(Connection& connection, beast::flat_buffer& buffer);
  Async<bool> read_request(Connection& connection, beast::flat_buffer& buffer,
                           http::request_parser<http::string_body>& parser);
  Async<void> reject(Connection& connection, int status, std::string_view message);
  // False when the connection cannot be used further.
  Async<bool> send(Connection& connection, Response response, bool head, unsigned version,
                   bool keep_alive);
  Async<bool> send_stream(Connection& connection, Response response, bool head, unsigned version,
                          bool keep_alive);

  void spawn(ConnectionPtr connection, Async<void> conversation);
  template <class Visit>
  void for_each_connection(const Visit& visit);

  const ServerOptions options;
  const Router router;
  std::uint16_t port = 0;
  std::atomic<bool> stopping{false};
  bool stopped = false;

  std::mutex mutex;
  std::condition_variable changed;
  std::unordered_map<Connection*, std::weak_ptr<Connection>> open;

  // Last: destroying it destroys the coroutines still waiting, and those use what stands above.
  asio::io_context io;
  tcp::acceptor acceptor;
  std::vector<std::jthread> threads;
};

namespace {

template <class Message>
void fill_head(Message& message, const Response& response, bool keep_alive) {
  message.result(static_cast<unsigned>(response.status));
  message.reason(reason_phrase(response.status));
  for (const auto& [name, value] : response.headers)
    if (!is_framing(name)) message.insert(name, value);
  if (message.find(http::field::date) == message.end()) message.set(http::field::date, http_date());
  message.keep_alive(keep_alive);
}

// Writes a whole message; the limit is for each piece that the socket takes.
template <class Serializer>
Async<bool> write_message(Connection& connection, Serializer& serializer, milliseconds limit,
                          bool header_only) {
  ErrorCodeAsio error;
  connection.arm(limit);
  if (header_only) {
    co_await http::async_write_header(connection.socket, serializer, into(error));
  } else {
    while (!serializer.is_done() && !error) {
      connection.arm(limit);
      co_await http::async_write_some(connection.socket, serializer, into(error));
    }
  }
  connection.disarm();
  co_return !error && !connection.closed;
}

Request to_request(http::request<http::string_body>&& message, std::string path,
                   std::string_view query, const tcp::socket& socket) {
  Request request{.method = std::string(message.method_string()),
                  .path = std::move(path),
                  .query = std::string(query),
                  .headers = {},
                  .body = {},
                  .remote = {},
                  .params = {}};
  for (const auto& field : message)
    request.headers.add(std::string_view(field.name_string()), std::string_view(field.value()));
  request.body = std::move(message.body());
  ErrorCodeAsio error;
  const auto peer = socket.remote_endpoint(error);
  if (!error) request.remote = peer.address().to_string();
  return request;
}

}  // namespace

Status HttpServer::Impl::listen() {
  TACK_TRY(const tcp::endpoint endpoint, endpoint_of(options));
  ErrorCodeAsio error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return listen_error(options, error);
  port = acceptor.local_endpoint(error).port();
  allow_many_files(options.max_connections + 256);
  return {};
}

void HttpServer::Impl::run() {
  asio::co_spawn(acceptor.get_executor(), accept_loop(), [](std::exception_ptr thrown) {
    if (thrown) log_error("the server stopped accepting connections: out of memory?");
  });
  for (int i = 0; i < std::max(1, options.threads); ++i) {
    threads.emplace_back([this] {
      const auto work = asio::make_work_guard(io);
      while (!io.stopped()) {
        try {
          io.run();
        } catch (const std::exception& error) {
          log_error("I/O thread: {}", error.what());
        }
      }
    });
  }
}

void HttpServer::Impl::spawn(ConnectionPtr connection, Async<void> conversation) {
  const auto executor = connection->socket.get_executor();
  asio::co_spawn(executor, std::move(conversation), [connection](std::exception_ptr thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const std::exception& error) {
      log_warn("a connection ended: {}", error.what());
    }
    connection->end();
  });
}

Async<void> HttpServer::Impl::accept_loop() {
  while (!stopping) {
    ErrorCodeAsio error;
    tcp::socket socket = co_await acceptor.async_accept(asio::make_strand(io), into(error));
    if (error == asio::error::operation_aborted || stopping) break;
    if (error) {  // mostly: out of file handles; they come back as clients leave
      log_warn("cannot accept a connection: {}", error.message());
      asio::steady_timer pause(co_await asio::this_coro::executor, milliseconds(50));
      co_await pause.async_wait(into(error));
      continue;
    }
    socket.set_option(tcp::no_delay(true), error);
    const auto connection = std::make_shared<Connection>(std::move(socket));
    std::size_t before = 0;
    {
      const std::lock_guard lock(mutex);
      before = open.size();
      if (before < options.max_connections + 64) open.emplace(connection.get(), connection);
    }
    if (before < options.max_connections)
      spawn(connection, converse(connection));
    else if (before < options.max_connections + 64)  // so that a flood does not also get answers
      spawn(connection, refuse(connection));
  }
  ErrorCodeAsio ignored;
  acceptor.close(ignored);
}

namespace {

// Takes a connection off the books when its coroutine ends, however it ends.
template <class Impl>
struct Leave {
  Impl& impl;
  Connection* connection;
  ~Leave() {
    const std::lock_guard lock(impl.mutex);
    impl.open.erase(connection);
    impl.changed.notify_all();
  }
};
template <class Impl>
Leave(Impl&, Connection*) -> Leave<Impl>;

}  // namespace

Async<void> HttpServer::Impl::refuse(ConnectionPtr connection) {
  const Leave leave{*this, connection.get()};
  co_await reject(*connection, 503, "too many connections; try again later");
}

Async<void> HttpServer::Impl::converse(ConnectionPtr connection) {
  const Leave leave{*this, connection.get()};
  beast::flat_buffer buffer(options.header_limit + 128 * 1024);
  bool more = true;
  while (more && !connection->closed) {
    if (buffer.size() == 0) {
      // stop() sets `stopping`, then looks at `idle` on this strand: one of the two sees the other.
      connection->idle = true;
      if (stopping) break;
      ErrorCodeAsio error;
      connection->arm(options.idle_timeout);
      const std::size_t bytes =
          co_await connection->socket.async_read_some(buffer.prepare(kReadChunk), into(error));
      connection->idle = false;
      if (error) break;
      buffer.commit(bytes);
    }
    // Blank lines before a request are allowed (RFC 9112, 2.2).
    const auto* text = static_cast<const char*>(buffer.data().data());
    if (*text == '\r' || *text == '\n')
      buffer.consume(1);
    else
      more = co_await answer_one(*connection, buffer);
  }
  connection->end();
}

Async<bool> HttpServer::Impl::read_request(Connection& connection, beast::flat_buffer& buffer,
                                           http::request_parser<http::string_body>& parser) {
  parser.header_limit(static_cast<std::uint32_t>(options.header_limit));
  parser.body_limit(options.body_limit);
  connection.arm(options.request_timeout);
  ErrorCodeAsio error;
  co_await http::async_read_header(connection.socket, buffer, parser, into(error));
  if (!error && beast::iequals(parser.get()[http::field::expect], "100-continue")) {
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    co_await asio::async_write(connection.socket, asio::buffer(kContinue), into(error));
  }
  if (!error) co_await http::async_read(connection.socket, buffer, parser, into(error));
  const bool too_slow = connection.timed_out;
  connection.disarm();
  if (!error) co_return true;
  const int status = too_slow ? 408 : status_for(error);
  if (status == 408)
    co_await reject(connection, 408, "the request did not arrive in time");
  else if (status == 413)
    co_await reject(connection, 413,
                    fmt::format("the body is larger than {} bytes", options.body_limit));
  else if (status == 431)
    co_await reject(connection, 431,
                    fmt::format("the header is larger than {} bytes", options.header_limit));
  else if (status == 400)
    co_await reject(connection, 400, fmt::format("not valid HTTP: {}", error.message()));
  co_return false;
}

namespace {

struct FinishAnswer {
  Connection& connection;
  ~FinishAnswer() { connection.finish_answer(); }
};

}  // namespace

// Reads and answers one request; true when the connection can take another.
Async<bool> HttpServer::Impl::answer_one(Connection& connection, beast::flat_buffer& buffer) {
  http::request_parser<http::string_body> parser;
  if (!co_await read_request(connection, buffer, parser)) co_return false;

  const unsigned version = parser.get().version();
  if (version >= 11 && parser.get().find(http::field::host) == parser.get().end()) {
    co_await reject(connection, 400, "the Host header is missing");
    co_return false;
  }
  const std::string_view target = origin_form(std::string_view(parser.get().target()));
  const std::size_t question = std::min(target.find('?'), target.size());
  auto path = percent_decode(target.substr(0, question));
  if (target.empty() || !path) {
    co_await reject(connection, 400, "the request target is not a valid path");
    co_return false;
  }
  const bool head = parser.get().method() == http::verb::head;
  const bool keep_alive = parser.get().keep_alive();
  // The query is copied from the message before the message is moved from.
  const std::string query(target.substr(std::min(target.size(), question + 1)));
  Request request = to_request(parser.release(), *std::move(path), query, connection.socket);
  request.departure = connection.begin_answer();
  const FinishAnswer finish{connection};
  const bool log = log_enabled(LogLevel::kDebug);
  const std::string what = log ? request.method + " " + request.path : "";

  Response response = co_await router.route(std::move(request));
  if (log) log_debug("{} {}", what, response.status);
  const bool stay = keep_alive && !stopping;
  if (response.stream)
    co_return co_await send_stream(connection, std::move(response), head, version, stay);
  co_return co_await send(connection, std::move(response), head, version, stay);
}

Async<bool> HttpServer::Impl::send(Connection& connection, Response response, bool head,
                                   unsigned version, bool keep_alive) {
  http::response<http::string_body> message;
  message.version(version);
  fill_head(message, response, keep_alive);
  const bool bodyless = response.status == 204 || response.status == 304;
  if (!bodyless) message.content_length(response.body.size());
  if (!bodyless && !head) message.body() = std::move(response.body);
  http::response_serializer<http::string_body> serializer(message);
  const bool sent =
      co_await write_message(connection, serializer, options.write_timeout, head || bodyless);
  co_return sent&& keep_alive;
}

Async<bool> HttpServer::Impl::send_stream(Connection& connection, Response response, bool head,
                                          unsigned version, bool keep_alive) {
  const bool chunked = version >= 11;
  const bool stay = keep_alive && chunked;
  http::response<http::empty_body> message;
  message.version(version);
  fill_head(message, response, stay);
  if (chunked) message.chunked(true);
  http::response_serializer<http::empty_body> serializer(message);
  if (!co_await write_message(connection, serializer, options.write_timeout, true)) co_return false;
  if (head) co_return stay;

  const auto stream =
      std::make_shared<ChunkStream>(connection.shared_from_this(), options.write_timeout, chunked);
  if (response.heartbeat.count() > 0) stream->start_heartbeat(response.heartbeat);
  try {
    co_await response.stream(*stream);
  } catch (const std::exception& error) {
    // The header is out: breaking off is the only way left to say that the body is not complete.
    stream->stop_heartbeat();
    log_error("a streaming handler failed: {}", error.what());
    co_return false;
  }
  co_return co_await stream->finish() && stay;
}

// Tells the client why, and that this connection ends. What it still sends is read and dropped for
// a while: closing on unread data resets the connection, and the answer could be lost on its way.
Async<void> HttpServer::Impl::reject(Connection& connection, int status, std::string_view message) {
  log_debug("rejected with {}: {}", status, message);
  Response response = router.error(status, message);
  if (status == 503) response.headers.set("Retry-After", "1");
  co_await send(connection, std::move(response), false, 11, false);
  ErrorCodeAsio error;
  connection.socket.shutdown(tcp::socket::shutdown_send, error);
  connection.arm(kLinger);
  std::vector<char> sink(16 * 1024);
  while (!error && !connection.timed_out)
    co_await connection.socket.async_read_some(asio::buffer(sink), into(error));
}

template <class Visit>
void HttpServer::Impl::for_each_connection(const Visit& visit) {
  std::vector<ConnectionPtr> all;
  {
    const std::lock_guard lock(mutex);
    for (const auto& [key, weak] : open)
      if (auto connection = weak.lock()) all.push_back(std::move(connection));
  }
  for (const ConnectionPtr& connection : all)
    asio::post(connection->socket.get_executor(), [connection, visit] { visit(*connection); });
}

bool HttpServer::Impl::stop(milliseconds grace) {
  if (std::exchange(stopped, true)) return true;
  stopping = true;
  asio::post(acceptor.get_executor(), [this] {
    ErrorCodeAsio ignored;
    acceptor.close(ignored);
  });
  for_each_connection([](Connection& connection) {
    if (connection.idle) connection.close();
  });
  const auto all_gone = [this] { return open.empty(); };
  bool clean = false;
  {
    std::unique_lock lock(mutex);
    clean = changed.wait_for(lock, grace, all_gone);
  }
  if (!clean) {
    for_each_connection([](Connection& connection) { connection.close(); });
    std::unique_lock lock(mutex);
    changed.wait_for(lock, milliseconds(250), all_gone);
  }
  io.stop();
  threads.clear();  // joins
  return clean;
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() {
  stop(milliseconds(0));
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(const ServerOptions& options, Router router) {
  try {
    auto impl = std::make_unique<Impl>(options, std::move(router));
    TACK_RETURN_IF_ERROR(impl->listen());
    impl->run();
    return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
  } catch (const std::exception& error) {
    return fail("cannot start the HTTP server: {}", error.what());
  }
}

std::uint16_t HttpServer::port() const {
  return impl_->port;
}

std::size_t HttpServer::connections() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->open.size();
}

bool HttpServer::stop(milliseconds grace) {
  return impl_->stop(grace);
}

int wait_for_stop_signal() {
  asio::io_context io;
  asio::signal_set signals(io, SIGINT, SIGTERM);
  int received = SIGTERM;
  if (interrupted()) return received;
  signals.async_wait([&](ErrorCodeAsio error, int number) {
    if (!error) received = number;
  });
  io.run();
  return received;
}

}  // namespace tack::net
