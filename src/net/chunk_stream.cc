#include "net/chunk_stream.h"

#include <utility>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>

namespace tack::net {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ErrorCodeAsio = boost::system::error_code;

namespace {

constexpr std::string_view kComment = ": keep-alive\n\n";
constexpr std::string_view kCommentChunk = "e\r\n: keep-alive\n\n\r\n";
static_assert(kComment.size() == 0xe);

}  // namespace

ChunkStream::ChunkStream(std::shared_ptr<ServerConnection> connection, milliseconds limit,
                         bool chunked)
    : connection_(std::move(connection)), limit_(limit), chunked_(chunked) {}

Async<bool> ChunkStream::write(std::string bytes) {
  if (bytes.empty()) co_return good();  // an empty chunk would end the body
  if (chunked_) {
    bytes.insert(0, fmt::format("{:x}\r\n", bytes.size()));
    bytes.append("\r\n");
  }
  co_return co_await put(bytes);
}

Async<bool> ChunkStream::finish() {
  stop_heartbeat();
  co_return co_await put(chunked_ ? "0\r\n\r\n" : "");
}

Async<bool> ChunkStream::put(std::string_view bytes) {
  if (beating_) {
    after_beat_ = std::make_shared<Wakeup>(connection_->socket.get_executor());
    co_await after_beat_->sleep_until(steady_clock::time_point::max());
  }
  if (!good() || bytes.empty()) co_return good();
  ErrorCodeAsio error;
  writing_ = true;
  connection_->arm(limit_);
  co_await asio::async_write(connection_->socket, asio::buffer(bytes.data(), bytes.size()),
                             asio::redirect_error(asio::use_awaitable, error));
  connection_->disarm();
  writing_ = false;
  failed_ = static_cast<bool>(error);
  if (pulse_) last_write_ = steady_clock::now();
  co_return good();
}

void ChunkStream::start_heartbeat(milliseconds interval) {
  interval_ = interval;
  pulse_ = std::make_unique<asio::steady_timer>(connection_->socket.get_executor());
  last_write_ = steady_clock::now();
  schedule(last_write_ + interval_);
}

void ChunkStream::stop_heartbeat() {
  stopped_ = true;
  if (pulse_) pulse_->cancel();
}

void ChunkStream::schedule(steady_clock::time_point time) {
  if (stopped_ || !good()) return;
  pulse_->expires_at(time);
  auto fire = [self = shared_from_this()](ErrorCodeAsio error) {
    if (error || self->stopped_ || !self->good()) return;
    const auto now = steady_clock::now();
    // While something is being written the client has enough to do.
    const auto next = self->writing_ ? now + self->interval_ : self->last_write_ + self->interval_;
    if (now < next) return self->schedule(next);
    self->beat();
  };
  pulse_->async_wait(std::move(fire));
}

void ChunkStream::beat() {
  beating_ = true;
  connection_->arm(limit_);
  const std::string_view bytes = chunked_ ? kCommentChunk : kComment;
  auto written = [self = shared_from_this()](ErrorCodeAsio error, std::size_t) {
    self->beating_ = false;
    self->connection_->disarm();
    self->failed_ = self->failed_ || error;
    self->last_write_ = steady_clock::now();
    if (const auto waiting = std::exchange(self->after_beat_, nullptr)) waiting->wake_here();
    self->schedule(self->last_write_ + self->interval_);
  };
  asio::async_write(connection_->socket, asio::buffer(bytes.data(), bytes.size()),
                    std::move(written));
}

}  // namespace tack::net
