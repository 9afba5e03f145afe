// The HTTP/1.1 server core: sockets, limits and time-outs; a Router gives the answers.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "net/router.h"

namespace tack::net {

struct ServerOptions {
  std::string host = "127.0.0.1";  // an address, or "localhost"
  std::uint16_t port = 0;          // 0: any free port, see HttpServer::port()
  int threads = 1;                 // I/O threads; they only move bytes and parse JSON

  std::size_t header_limit = 16 * 1024;               // bytes, then 431
  std::size_t body_limit = 8 * 1024 * 1024;           // bytes, then 413
  std::size_t max_connections = 4096;                 // more are told 503 and closed
  std::chrono::milliseconds idle_timeout{60'000};     // between requests of a connection
  std::chrono::milliseconds request_timeout{30'000};  // for a request to arrive in full, then 408
  std::chrono::milliseconds write_timeout{30'000};    // for a piece of response to be taken
};

// Serves from start() until stop(). A bad request, a slow or vanished client, or a throwing handler
// ends at most its own connection.
class HttpServer {
 public:
  // Listens, then starts the threads. Errors: kUnreachable naming the port and what to do, kUsage
  // for a host that is not an address of this machine.
  static Result<std::unique_ptr<HttpServer>> start(const ServerOptions& options, Router router);
  ~HttpServer();  // stop(0 ms)
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::uint16_t port() const;
  std::size_t connections() const;  // open now

  // Stops accepting, lets requests in flight finish for at most `grace`, then closes what is left.
  // Returns when no handler runs any more. Not from a handler. The second call does nothing.
  // Handlers that were still waiting (on a queue, say) are destroyed with the server, never
  // resumed: whatever completes them must be stopped after stop() and before the server is
  // destroyed. True when everything finished by itself.
  bool stop(std::chrono::milliseconds grace);

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Blocks until SIGINT or SIGTERM and returns its number. While it waits it takes these signals away
// from install_interrupt_handlers(), so that work in flight is not interrupted and can finish; when
// it has returned, the next signal ends the process at once. Returns at once if interrupted().
int wait_for_stop_signal();

}  // namespace tack::net
