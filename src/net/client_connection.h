// One connection to a server, plain or TLS, and one exchange on it at a time. What `fetch` and the
// pool are made of. Internal to net.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>

#include "net/client_error.h"
#include "net/client_message.h"
#include "net/departure.h"
#include "net/host_lookup.h"
#include "net/tls_client.h"
#include "net/url.h"

namespace tack::net {

struct ClientLimits {
  std::chrono::milliseconds write{60'000};       // for the next bytes to go
  std::chrono::milliseconds first_byte{60'000};  // from the request's end to its answer's body
  std::chrono::milliseconds idle{60'000};        // for the next bytes of the body
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  std::optional<std::uint64_t> body_limit;  // bytes
};

struct OutgoingRequest {
  std::string_view method, target;
  const Headers* headers = nullptr;
  std::string_view body;
};

// Belongs to one coroutine at a time, between attach() and detach(); it may pass on to another one,
// on another strand of the same I/O context, if the hand-over is synchronised. The socket is bound
// to the executor given here, which must be the I/O context's own where it is handed on: each
// operation runs on the strand of the coroutine that waits for it.
class ClientConnection : public std::enable_shared_from_this<ClientConnection> {
 public:
  // `tls` null: plain.
  ClientConnection(const boost::asio::any_io_executor& executor, Url server,
                   std::shared_ptr<TlsClient> tls);

  // `strand`: the executor of the coroutine. When the client of `departure` leaves, whatever runs
  // ends with kCancelled.
  void attach(const boost::asio::any_io_executor& strand, const ClientLimits& limits,
              std::shared_ptr<Departure> departure);
  void detach();

  Async<ClientStatus> connect(const HostLookup::Endpoints& endpoints,
                              std::chrono::steady_clock::time_point deadline);
  // Sends the request and reads the head of its answer; the body's first bytes may come with it.
  Async<ClientStatus> exchange(OutgoingRequest request, bool keep_alive);
  // The next bytes of the body, valid until the next call; empty at its end.
  Async<ClientResult<std::string_view>> next_piece();

  int status() const { return parser_->status; }
  Headers& headers() { return parser_->headers; }
  bool answer_began() const { return answer_began_; }  // a byte of it came
  // The body has been received, though perhaps not been taken.
  bool complete() const { return parser_ && parser_->is_done(); }
  // Another request can be sent.
  bool reusable() const;
  // While nothing runs: whether the server still holds it open and has sent nothing unasked.
  bool looks_open();
  void close();

 private:
  void arm(std::chrono::milliseconds limit);
  void arm_until(std::chrono::steady_clock::time_point time);
  void start_timer(std::chrono::steady_clock::time_point time);
  void abort();
  std::unexpected<ClientError> broken(std::string_view during,
                                      const boost::system::error_code& error) const;
  Async<ClientStatus> handshake();
  Async<ClientStatus> send(const OutgoingRequest& request, bool keep_alive);
  Async<ClientStatus> read_head(bool head_request);
  // Reads from the socket once, unless bytes are there, and lets the parser have them.
  Async<ClientStatus> advance(std::string_view during);
  ClientStatus parse(std::string_view during);

  const Url server_;
  const std::shared_ptr<TlsClient> tls_client_;
  boost::asio::ip::tcp::socket socket_;
  std::optional<TlsClient::Stream> tls_;
  boost::beast::flat_buffer buffer_;

  // Of the coroutine.
  boost::asio::any_io_executor strand_;
  ClientLimits limits_;
  std::shared_ptr<Departure> departure_;
  Departure::Watch watch_;

  // Of the exchange.
  std::optional<AnswerParser> parser_;
  std::chrono::steady_clock::time_point first_byte_until_{};
  bool answer_began_ = false, body_given_ = false, sent_whole_ = false, failed_ = false;

  // The timer mostly runs longer than the limit that holds now: setting a limit that comes later
  // costs nothing, and the timer looks at `due_` when it fires.
  boost::asio::steady_timer timer_;
  std::chrono::steady_clock::time_point due_{}, timer_at_{};
  unsigned timer_generation_ = 0;
  bool timer_runs_ = false, timed_out_ = false, cancelled_ = false;
};

}  // namespace tack::net
