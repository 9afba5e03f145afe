// The body of a streamed response. Internal to net.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/steady_timer.hpp>

#include "net/http.h"
#include "net/server_connection.h"
#include "net/wakeup.h"

namespace tack::net {

// Writes chunks (or bare bytes for HTTP/1.0, ended by closing), each taken by the socket within
// `limit`. With a heartbeat, a comment of the event stream goes out when nothing was written for so
// long; it comes between two writes, never within one. Held by shared_ptr, since a heartbeat may
// still be on its way when the handler is done.
class ChunkStream final : public ResponseStream, public std::enable_shared_from_this<ChunkStream> {
 public:
  ChunkStream(std::shared_ptr<ServerConnection> connection, std::chrono::milliseconds limit,
              bool chunked);

  void start_heartbeat(std::chrono::milliseconds interval);
  Async<bool> write(std::string bytes) override;
  // The body is complete.
  Async<bool> finish();
  // No heartbeat begins any more.
  void stop_heartbeat();

 private:
  bool good() const { return !failed_ && !connection_->closed; }
  Async<bool> put(std::string_view bytes);
  void schedule(std::chrono::steady_clock::time_point time);
  void beat();

  const std::shared_ptr<ServerConnection> connection_;
  const std::chrono::milliseconds limit_;
  const bool chunked_;
  bool failed_ = false;

  std::chrono::milliseconds interval_{0};
  std::unique_ptr<boost::asio::steady_timer> pulse_;
  std::chrono::steady_clock::time_point last_write_{};
  bool writing_ = false, beating_ = false, stopped_ = false;
  std::shared_ptr<Wakeup> after_beat_;  // a write that waits for the end of a heartbeat
};

}  // namespace tack::net
