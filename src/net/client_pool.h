// Keeps connections to one server open between requests and bounds how many there are. Answers are
// pulled piece by piece: nothing is read that nobody asked for, so a slow reader slows the server.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/async.h"
#include "net/client_error.h"
#include "net/departure.h"
#include "net/http.h"

namespace tack::net {

class ClientConnection;

struct PoolOptions {
  std::chrono::milliseconds connect_timeout{10'000};     // look-up, connection and TLS together
  std::chrono::milliseconds first_byte_timeout{60'000};  // from sending to the body's first byte
  std::chrono::milliseconds idle_timeout{60'000};        // between pieces, of the request too
  std::size_t max_connections = 64;                      // at once; further requests wait in order
  std::size_t queue_limit = 1024;                        // of those that wait
  std::chrono::milliseconds queue_timeout{10'000};
  std::chrono::milliseconds keep_idle{15'000};  // open without a request
  std::string ca_file;                          // trusted certificates (PEM); empty: the system's
};

struct PoolRequest {
  std::string method = "POST";
  std::string target;  // path and query
  Headers headers;
  std::string body;
  std::optional<std::uint64_t> body_limit = 64 * 1024 * 1024;  // of the answer; nullopt: none
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  // When this client leaves, the connection is closed and what waits ends with kCancelled. Must
  // belong to the strand of the caller.
  std::shared_ptr<Departure> departure;
};

struct PoolCounts {
  std::size_t active = 0, idle = 0, waiting = 0;
  std::uint64_t opened = 0;    // connections since the start
  std::uint64_t reopened = 0;  // of these: since the server had closed one that was kept
};

// Used by coroutines of one I/O context (of several: each gets its own connections), on any of its
// threads. May be destroyed before or after that context and with answers still being read.
class ClientPool {
  struct State;
  struct Lease;

 public:
  // `base_url`: of it, scheme, host and port count. Errors: kUsage.
  static Result<std::unique_ptr<ClientPool>> create(std::string_view base_url,
                                                    const PoolOptions& options);
  ~ClientPool();
  ClientPool(const ClientPool&) = delete;
  ClientPool& operator=(const ClientPool&) = delete;

  // An answer whose body is to be read. Destroyed before its end it closes its connection. For one
  // coroutine at a time, that which called send().
  class Answer {
   public:
    Answer(Answer&&) noexcept;
    Answer& operator=(Answer&&) noexcept;
    ~Answer();

    int status() const { return status_; }
    const Headers& headers() const { return headers_; }

    // The next bytes of the body, valid until the next call; empty at its end. After a failure
    // there is nothing more.
    Async<ClientResult<std::string_view>> next_piece();
    // All that is left of it.
    Async<ClientResult<std::string>> rest();
    // The caller has all it wants. What is left is read in the background for a moment, so that the
    // connection can be used again.
    void drain();

   private:
    friend class ClientPool;
    explicit Answer(std::unique_ptr<Lease> lease);
    int status_ = 0;
    Headers headers_;
    std::unique_ptr<Lease> lease_;  // null once the body has been taken
    std::string last_;              // the last piece, when the connection has been given back
  };

  // A connection that turns out to be closed by the server, before a byte of an answer came, is
  // replaced once by a fresh one.
  Async<ClientResult<Answer>> send(PoolRequest request);

  PoolCounts counts() const;

 private:
  explicit ClientPool(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace tack::net
