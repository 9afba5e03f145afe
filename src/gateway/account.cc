#include "gateway/account.h"

#include <algorithm>

#include "base/log.h"
#include "gateway/facts.h"
#include "gateway/fold.h"

namespace tack::gateway {

std::optional<store::Price> price_of(const GatewayConfig& config, std::string_view model) {
  if (const LocalModelConfig* local = config.model(model)) return local->price;
  const auto split = split_upstream(config, model);
  if (!split) return std::nullopt;
  const auto& prices = split->upstream->prices;
  auto found = prices.find(split->model);
  if (found == prices.end()) found = prices.find("*");
  if (found == prices.end()) return std::nullopt;
  return found->second;
}

double AttemptClock::ms() const {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start_)
      .count();
}

Account::Account(const GatewayConfig& config, RecordSink sink)
    : config_(config), sink_(std::move(sink)) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  record.time_us = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

Account::~Account() {
  try {
    record.total_ms = clock_.ms();
    if (!record.baseline.empty()) settle_baseline();
    if (answer && shadow_answer) record.agreed = same_answer(*answer, *shadow_answer);
    if (sink_) sink_(std::move(record));
  } catch (const std::exception& error) {
    log_error("a request is missing from the ledger: {}", error.what());
  }
}

void Account::add(store::Attempt attempt) {
  if (const auto price = price_of(config_, attempt.model))
    attempt.cost = price->cost(attempt.tokens);
  record.attempts.push_back(std::move(attempt));
}

void Account::set_baseline(std::string model, std::size_t prompt_bytes) {
  record.baseline = std::move(model);
  prompt_bytes_ = prompt_bytes;
}

void Account::set_answer(const std::string& model, const Outcome& outcome) {
  record.model = model;
  outcome_ = outcome;
}

// What the baseline itself said it used, where it was asked; else the tokens of the answer.
void Account::settle_baseline() {
  const auto price = price_of(config_, record.baseline);
  const bool unanswered = !outcome_ || record.model.empty();
  if (!price || unanswered) {
    record.baseline.clear();
    return;
  }
  record.baseline_tokens = outcome_->tokens;
  if (record.model != record.baseline) {
    record.baseline_tokens.cached = 0;  // of our cache, not of theirs
    record.baseline_tokens.estimated = true;
    if (!outcome_->whole_prompt)
      record.baseline_tokens.prompt = static_cast<std::int64_t>((prompt_bytes_ + 3) / 4);
  }
  record.baseline_cost = price->cost(record.baseline_tokens);
}

}  // namespace tack::gateway
