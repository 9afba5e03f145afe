// A streamed answer of an upstream, event by event.
#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <string>

#include "gateway/answer_meter.h"
#include "gateway/call.h"
#include "gateway/circuit_breaker.h"
#include "gateway/sse_reader.h"
#include "gateway/upstream_failure.h"
#include "net/client_pool.h"

namespace tack::gateway {

// Events pass as the upstream wrote them; only a chunk with nothing but the usage is kept back when
// the client had not asked for it. Nothing is read from the connection before it is asked for.
class UpstreamStream final : public EventStream {
 public:
  // `upstream`: its name. `permit` hears what becomes of the answer.
  UpstreamStream(std::string upstream, std::shared_ptr<const Call> call,
                 net::ClientPool::Answer answer, CircuitBreaker::Permit permit);

  // Waits for the first event, which next() returns then: until here another try is possible.
  net::Async<std::expected<void, FailedTry>> open();

  net::Async<Expected<std::optional<std::string>>> next() override;
  Outcome outcome() const override { return meter_.outcome(); }

 private:
  using Pulled = std::expected<std::optional<std::string>, FailedTry>;

  net::Async<Pulled> pull();
  Pulled take_event();
  Pulled end_of_body();
  void finish();
  std::unexpected<FailedTry> fail_with(FailedTry failed);

  const std::string upstream_;
  const std::shared_ptr<const Call> call_;
  net::ClientPool::Answer answer_;
  CircuitBreaker::Permit permit_;
  SseReader reader_;
  AnswerMeter meter_;
  std::optional<std::string> first_;
  bool ended_ = false, body_ended_ = false;
};

}  // namespace tack::gateway
