#include "net/server_connection.h"

#include <cerrno>
#include <utility>

#include <sys/socket.h>

namespace tack::net {

using boost::asio::ip::tcp;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ErrorCodeAsio = boost::system::error_code;

void ServerConnection::arm(milliseconds limit) {
  timed_out = false;
  due_ = steady_clock::now() + limit;
  if (!timer_runs_ || timer_at_ > due_) start_timer(due_);
}

void ServerConnection::start_timer(steady_clock::time_point time) {
  timer_at_ = time;
  timer_runs_ = true;
  timer_.expires_at(time);
  auto fire = [self = shared_from_this(), mine = ++timer_generation_](ErrorCodeAsio error) {
    if (error || mine != self->timer_generation_) return;
    self->timer_runs_ = false;
    if (self->due_ == steady_clock::time_point::max()) return;
    const auto now = steady_clock::now();
    if (now < self->due_) return self->start_timer(self->due_);
    self->timed_out = true;
    ErrorCodeAsio ignored;
    self->socket.cancel(ignored);
    // Again in a while: an operation may have been between two steps, where cancel() meets none.
    self->start_timer(now + milliseconds(100));
  };
  timer_.async_wait(std::move(fire));
}

void ServerConnection::close() {
  closed = true;
  ErrorCodeAsio ignored;
  socket.close(ignored);
  if (departure_) departure_->depart();
}

void ServerConnection::end() {
  ++timer_generation_;
  timer_.cancel();
  ErrorCodeAsio ignored;
  socket.shutdown(tcp::socket::shutdown_both, ignored);
  socket.close(ignored);
}

std::shared_ptr<Departure> ServerConnection::begin_answer() {
  departure_ = std::make_shared<Departure>([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->watch_client();
  });
  return departure_;
}

void ServerConnection::finish_answer() {
  if (departure_) departure_->finish();
  departure_ = nullptr;
}

// A wait that is left over when the answer is complete stays: it ends with the next request's first
// bytes, and asking for it anew or cancelling it would cost more.
void ServerConnection::watch_client() {
  if (std::exchange(watching_, true)) return;
  auto look = [self = shared_from_this()](ErrorCodeAsio error) {
    self->watching_ = false;
    if (error || !self->departure_) return;
    char byte = 0;
    const ssize_t got =
        ::recv(self->socket.native_handle(), &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
    if (got > 0) return;  // the next request has come: what follows it cannot be seen
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
      return self->watch_client();
    self->departure_->depart();
  };
  socket.async_wait(tcp::socket::wait_read, std::move(look));
}

}  // namespace tack::net
