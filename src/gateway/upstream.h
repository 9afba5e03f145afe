// An OpenAI-compatible server that requests may be passed on to.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "gateway/call.h"
#include "gateway/circuit_breaker.h"
#include "gateway/config.h"
#include "gateway/policy.h"
#include "net/client_pool.h"

namespace tack::gateway {

// How patient an upstream is asked again.
struct RetryPace {
  milliseconds base{250}, longest{8'000};  // the pause before try n is in [0, base * 2^n)
  milliseconds retry_after_limit{5'000};   // an upstream that asks for more is not waited for
  std::size_t queue_limit = 4096;          // requests that wait for a connection
  milliseconds queue_timeout{10'000};
};

// Sends what policy has cleared. Before the first event of an answer it tries again: when there is
// no connection, when it breaks, after 408, 409, 429 and 5xx, after what is no answer. Not after a
// time-out: whoever was slow would be slow again. Used from any strand of one I/O context; answers
// may outlive it.
class Upstream {
 public:
  // `key`: the value of config.key_env; "" sends none. Errors: kUsage for a bad base_url or
  // certificates.
  static Result<std::unique_ptr<Upstream>> create(const UpstreamConfig& config, std::string key,
                                                  const RetryPace& pace = {});
  ~Upstream();
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;

  // From the strand of the call's departure: when that client leaves, the connection is closed and
  // the failure has status 499. A streaming call's first event has come when this returns.
  // Failures of the client's request have the upstream's status, type, code, param and message;
  // others have 502, 503, 504 or 429. An answer's body holds JSON of the right shape.
  net::Async<Expected<Reply>> send(ClearedCall cleared);

  const std::string& name() const;
  CircuitBreaker::State state() const;
  net::PoolCounts connections() const;

 private:
  struct State;
  struct Try;
  class Stream;
  explicit Upstream(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace tack::gateway
