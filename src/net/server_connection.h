// One client of the server: its socket, the limit of what runs on it, and whether it is still
// there. Internal to net.
#pragma once

#include <chrono>
#include <memory>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "net/departure.h"

namespace tack::net {

// Everything but construction happens on the socket's strand.
class ServerConnection : public std::enable_shared_from_this<ServerConnection> {
 public:
  explicit ServerConnection(boost::asio::ip::tcp::socket s)
      : socket(std::move(s)), timer_(socket.get_executor()) {}

  // From now on, operations on the socket are cancelled once `limit` has passed; timed_out tells.
  // (Beast's own stream time-outs close the socket, and then nobody could be told 408.)
  void arm(std::chrono::milliseconds limit);
  void disarm() { due_ = std::chrono::steady_clock::time_point::max(); }
  // By stop(): breaks off what runs.
  void close();
  // The conversation has ended: the socket is closed, nothing waits any more.
  void end();

  // The token for the request that is answered from now on. The client is watched only when
  // somebody asks for it.
  std::shared_ptr<Departure> begin_answer();
  void finish_answer();

  boost::asio::ip::tcp::socket socket;
  bool timed_out = false;
  bool idle = false;    // waiting for a request to begin
  bool closed = false;  // by stop()

 private:
  void start_timer(std::chrono::steady_clock::time_point time);
  void watch_client();

  // The timer mostly runs longer than the limit that holds now, so that setting one costs nothing;
  // it looks at `due_` when it fires.
  boost::asio::steady_timer timer_;
  std::chrono::steady_clock::time_point due_ = std::chrono::steady_clock::time_point::max();
  std::chrono::steady_clock::time_point timer_at_{};
  unsigned timer_generation_ = 0;
  bool timer_runs_ = false;

  std::shared_ptr<Departure> departure_;  // null between requests
  bool watching_ = false;
};

}  // namespace tack::net
