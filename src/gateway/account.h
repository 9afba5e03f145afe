// What one request costs, from its coming to its end: collects the attempts, and writes the record
// when the last who holds it lets go - the handler, the stream, a shadow run -, however they end.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "gateway/call.h"
#include "gateway/config.h"

namespace tack::gateway {

// Takes finished records; called from any thread, and must not block.
using RecordSink = std::function<void(store::CallRecord)>;

// What a model's answers cost; nullopt when the configuration does not say.
std::optional<store::Price> price_of(const GatewayConfig& config, std::string_view model);

// Measures one attempt.
class AttemptClock {
 public:
  AttemptClock() : start_(std::chrono::steady_clock::now()) {}
  double ms() const;

 private:
  std::chrono::steady_clock::time_point start_;
};

// Used on one strand.
class Account {
 public:
  Account(const GatewayConfig& config, RecordSink sink);
  ~Account();
  Account(const Account&) = delete;
  Account& operator=(const Account&) = delete;

  store::CallRecord record;
  net::Headers headers;  // for the answer: what is left of the client's limits

  // Prices it.
  void add(store::Attempt attempt);
  // `prompt_bytes`: of all messages, to estimate what the baseline would have read.
  void set_baseline(std::string model, std::size_t prompt_bytes);
  // Of the answer that the client got.
  void set_answer(const std::string& model, const Outcome& outcome);

  // For comparing: what the answer and the shadow's say.
  std::optional<std::string> answer, shadow_answer;

 private:
  void settle_baseline();

  const GatewayConfig& config_;
  const RecordSink sink_;
  const AttemptClock clock_;
  std::size_t prompt_bytes_ = 0;
  std::optional<Outcome> outcome_;
};

}  // namespace tack::gateway
