#include "gateway/circuit_breaker.h"

#include <algorithm>

namespace tack::gateway {

using std::chrono::milliseconds;

std::expected<CircuitBreaker::Permit, milliseconds> CircuitBreaker::enter(Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  if (state_ == State::kClosed) return Permit(shared_from_this(), period_, false);
  const auto left = std::chrono::ceil<milliseconds>(open_until_ - now);
  if (state_ == State::kHalfOpen || left.count() > 0)
    return std::unexpected(std::max(left, milliseconds(1)));
  state_ = State::kHalfOpen;
  return Permit(shared_from_this(), period_, true);
}

CircuitBreaker::State CircuitBreaker::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

int CircuitBreaker::failures() const {
  const std::lock_guard lock(mutex_);
  return failures_;
}

void CircuitBreaker::open(Clock::time_point now) {
  state_ = State::kOpen;
  open_until_ = now + open_for_;
  ++period_;
}

CircuitBreaker::Permit& CircuitBreaker::Permit::operator=(Permit&& other) noexcept {
  settle();
  breaker_ = std::move(other.breaker_);
  period_ = other.period_;
  trial_ = other.trial_;
  return *this;
}

void CircuitBreaker::Permit::began() {
  if (!breaker_ || !std::exchange(trial_, false)) return;
  const std::lock_guard lock(breaker_->mutex_);
  breaker_->state_ = State::kClosed;
  breaker_->failures_ = breaker_->limit_ - 1;
}

void CircuitBreaker::Permit::worked() {
  const auto breaker = std::move(breaker_);
  if (!breaker) return;
  const std::lock_guard lock(breaker->mutex_);
  if (period_ != breaker->period_) return;
  breaker->state_ = State::kClosed;
  breaker->failures_ = 0;
}

void CircuitBreaker::Permit::failed(Clock::time_point now) {
  const auto breaker = std::move(breaker_);
  if (!breaker || breaker->limit_ <= 0) return;
  const std::lock_guard lock(breaker->mutex_);
  if (period_ != breaker->period_) return;
  ++breaker->failures_;
  if (trial_ || breaker->failures_ >= breaker->limit_) breaker->open(now);
}

// A trial that learned nothing: the next request tries.
void CircuitBreaker::Permit::settle() {
  const auto breaker = std::move(breaker_);
  if (!breaker || !trial_) return;
  const std::lock_guard lock(breaker->mutex_);
  if (period_ == breaker->period_) breaker->state_ = State::kOpen;
}

}  // namespace tack::gateway
