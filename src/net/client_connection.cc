#include "net/client_connection.h"

#include <algorithm>
#include <array>
#include <utility>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <sys/socket.h>

namespace tack::net {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ErrorCodeAsio = boost::system::error_code;

namespace {

constexpr std::size_t kReadBytes = 16 * 1024;
constexpr std::size_t kBufferLimit = 256 * 1024;
// Up to here a body is sent in one piece with its head: a copy costs less than another packet.
constexpr std::size_t kJoinBytes = 32 * 1024;

auto into(ErrorCodeAsio& error) {
  return asio::redirect_error(asio::use_awaitable, error);
}

}  // namespace

ClientConnection::ClientConnection(const asio::any_io_executor& executor, Url server,
                                   std::shared_ptr<TlsClient> tls)
    : server_(std::move(server)),
      tls_client_(std::move(tls)),
      socket_(executor),
      buffer_(kBufferLimit),
      timer_(executor) {}

void ClientConnection::attach(const asio::any_io_executor& strand, const ClientLimits& limits,
                              std::shared_ptr<Departure> departure) {
  strand_ = strand;
  limits_ = limits;
  departure_ = std::move(departure);
  timed_out_ = cancelled_ = false;
  if (!departure_) return;
  watch_ = departure_->on_gone([this] {
    cancelled_ = true;
    abort();
  });
}

void ClientConnection::detach() {
  watch_ = {};
  departure_ = nullptr;
  ++timer_generation_;
  if (std::exchange(timer_runs_, false)) timer_.cancel();
}

void ClientConnection::arm(milliseconds limit) {
  arm_until(steady_clock::now() + limit);
}

void ClientConnection::arm_until(steady_clock::time_point time) {
  due_ = std::min(time, limits_.deadline);
  if (!timer_runs_ || timer_at_ > due_) start_timer(due_);
}

void ClientConnection::start_timer(steady_clock::time_point time) {
  timer_at_ = time;
  timer_runs_ = true;
  timer_.expires_at(time);
  auto fire = [weak = weak_from_this(), mine = ++timer_generation_](ErrorCodeAsio error) {
    const auto self = weak.lock();
    if (error || !self || mine != self->timer_generation_) return;
    self->timer_runs_ = false;
    if (steady_clock::now() < self->due_) return self->start_timer(self->due_);
    self->timed_out_ = true;
    self->abort();
  };
  timer_.async_wait(asio::bind_executor(strand_, std::move(fire)));
}

// Whatever runs on the socket ends.
void ClientConnection::abort() {
  failed_ = true;
  close();
}

void ClientConnection::close() {
  ErrorCodeAsio ignored;
  socket_.close(ignored);
}

std::unexpected<ClientError> ClientConnection::broken(std::string_view during,
                                                      const ErrorCodeAsio& error) const {
  ClientFault fault = ClientFault::kBroken;
  std::string why = error.message();
  if (cancelled_) {
    fault = ClientFault::kCancelled;
    why = "cancelled";
  } else if (timed_out_) {
    fault = ClientFault::kTimedOut;
    why = "took too long";
  } else if (error == http::error::body_limit) {
    fault = ClientFault::kTooLarge;
    why = fmt::format("longer than {} bytes", limits_.body_limit.value_or(0));
  } else if (error == http::error::end_of_stream || error == asio::error::eof) {
    why = "the server closed the connection";
  } else if (error == http::error::partial_message) {
    why = "cut off";
  } else if (error.category() == http::make_error_code(http::error::bad_version).category()) {
    fault = ClientFault::kMalformed;
    why = "not valid HTTP: " + why;
  }
  return client_fail(fault, "{}:{}: {}: {}", server_.host, server_.port, during, why);
}

Async<ClientStatus> ClientConnection::connect(const HostLookup::Endpoints& endpoints,
                                              steady_clock::time_point deadline) {
  ErrorCodeAsio error = asio::error::host_not_found;
  arm_until(deadline);
  for (const tcp::endpoint& endpoint : endpoints) {
    if (timed_out_ || cancelled_) break;
    close();
    co_await socket_.async_connect(endpoint, into(error));
    if (!error) break;
  }
  // A connection that is ready just when the time is up has been closed.
  if (!error && failed_) error = asio::error::operation_aborted;
  if (error) {
    auto failure = broken("", error).error();
    if (failure.fault == ClientFault::kBroken) failure.fault = ClientFault::kNoConnection;
    failure.message = fmt::format("cannot connect to {} port {}: {}", server_.host, server_.port,
                                  timed_out_   ? "took too long"
                                  : cancelled_ ? "cancelled"
                                               : error.message());
    co_return std::unexpected(std::move(failure));
  }
  socket_.set_option(tcp::no_delay(true), error);
  if (tls_client_) co_return co_await handshake();
  co_return ClientStatus{};
}

Async<ClientStatus> ClientConnection::handshake() {
  tls_.emplace(socket_, tls_client_->context());
  if (auto ready = tls_client_->prepare(*tls_, server_.host); !ready)
    co_return std::unexpected(ClientError{std::move(ready).error(), ClientFault::kNoConnection});
  ErrorCodeAsio error;
  co_await tls_->async_handshake(asio::ssl::stream_base::client, into(error));
  if (!error && !failed_) co_return ClientStatus{};
  auto failure = broken("TLS", error ? error : asio::error::operation_aborted).error();
  if (failure.fault == ClientFault::kBroken) failure.fault = ClientFault::kNoConnection;
  co_return std::unexpected(std::move(failure));
  // No orderly TLS goodbye afterwards: a message's own framing says whether it is whole, and many
  // servers do not wait for one.
}

Async<ClientStatus> ClientConnection::exchange(OutgoingRequest request, bool keep_alive) {
  parser_.reset();
  answer_began_ = body_given_ = sent_whole_ = false;
  if (auto sent = co_await send(request, keep_alive); !sent)
    co_return std::unexpected(std::move(sent).error());
  co_return co_await read_head(request.method == "HEAD");
}

Async<ClientStatus> ClientConnection::send(const OutgoingRequest& request, bool keep_alive) {
  std::string head = request_head(request.method, request.target, server_.host_header(),
                                  *request.headers, request.body.size(), keep_alive);
  std::string_view body = request.body;
  if (body.size() <= kJoinBytes) {
    head.append(body);
    body = {};
  }
  ErrorCodeAsio error;
  for (std::string_view rest : {std::string_view(head), body}) {
    while (!rest.empty() && !error) {
      arm(limits_.write);
      const auto bytes = asio::buffer(rest.data(), rest.size());
      std::size_t sent = 0;
      if (tls_)
        sent = co_await tls_->async_write_some(bytes, into(error));
      else
        sent = co_await socket_.async_write_some(bytes, into(error));
      rest.remove_prefix(sent);
    }
  }
  // A server may refuse before it has read all, answer and stop reading: look for the answer.
  const bool cut_off = error == asio::error::broken_pipe || error == asio::error::connection_reset;
  sent_whole_ = !error;
  if (failed_ || (error && !cut_off)) co_return broken("sending", error);
  co_return ClientStatus{};
}

Async<ClientStatus> ClientConnection::read_head(bool head_request) {
  constexpr std::string_view kDuring = "waiting for the answer";
  first_byte_until_ = steady_clock::now() + limits_.first_byte;
  arm_until(first_byte_until_);
  do {  // past "100 Continue" and other interim answers
    parser_.emplace(head_request, limits_.body_limit);
    while (!parser_->is_header_done())
      if (auto got = co_await advance(kDuring); !got)
        co_return std::unexpected(std::move(got).error());
  } while (parser_->status / 100 == 1);
  co_return ClientStatus{};
}

Async<ClientResult<std::string_view>> ClientConnection::next_piece() {
  const bool first = !body_given_;
  if (std::exchange(body_given_, false)) parser_->body.clear();
  while (parser_->body.empty() && !parser_->is_done()) {
    if (first)
      arm_until(first_byte_until_);
    else
      arm(limits_.idle);
    if (auto got = co_await advance("reading the answer"); !got)
      co_return std::unexpected(std::move(got).error());
  }
  body_given_ = true;
  co_return std::string_view(parser_->body);
}

Async<ClientStatus> ClientConnection::advance(std::string_view during) {
  if (buffer_.size() > 0) {
    const std::size_t before = buffer_.size();
    if (auto parsed = parse(during); !parsed) co_return parsed;
    if (buffer_.size() < before) co_return ClientStatus{};
  }
  ErrorCodeAsio error;
  std::size_t bytes = 0;
  if (buffer_.size() + kReadBytes > buffer_.max_size())
    co_return broken(during, http::make_error_code(http::error::buffer_overflow));
  const auto space = buffer_.prepare(kReadBytes);
  if (tls_)
    bytes = co_await tls_->async_read_some(space, into(error));
  else
    bytes = co_await socket_.async_read_some(space, into(error));
  buffer_.commit(bytes);
  answer_began_ = answer_began_ || bytes > 0;
  if (failed_) co_return broken(during, asio::error::operation_aborted);
  if (error == asio::error::eof && answer_began_) {
    // Ends a body that nothing else ends.
    error = {};
    if (parser_->is_header_done())
      parser_->put_eof(error);
    else
      error = http::error::partial_message;
  }
  if (error) {
    failed_ = true;
    co_return broken(during, error);
  }
  co_return parse(during);
}

ClientStatus ClientConnection::parse(std::string_view during) {
  ErrorCodeAsio error;
  if (buffer_.size() == 0 || parser_->is_done()) return {};
  buffer_.consume(parser_->put(buffer_.data(), error));
  if (!error || error == http::error::need_more) return {};
  failed_ = true;
  return broken(during, error);
}

bool ClientConnection::reusable() const {
  return parser_ && parser_->is_done() && parser_->keep_alive() && sent_whole_ && !failed_ &&
         buffer_.size() == 0 && socket_.is_open();
}

bool ClientConnection::looks_open() {
  char byte = 0;
  const ssize_t got = ::recv(socket_.native_handle(), &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
  return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace tack::net
