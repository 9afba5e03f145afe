// Stops asking an upstream that keeps failing: after so many failures in a row nothing is sent for
// a while, then one request tries.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <utility>

namespace tack::gateway {

// Any thread. Held by shared_ptr, since permits may outlive its owner.
class CircuitBreaker : public std::enable_shared_from_this<CircuitBreaker> {
 public:
  using Clock = std::chrono::steady_clock;
  enum class State : std::uint8_t {
    kClosed,    // all goes well: requests pass
    kOpen,      // nothing passes
    kHalfOpen,  // one request tries
  };

  // `failures` 0: never opens.
  CircuitBreaker(int failures, std::chrono::milliseconds open_for)
      : limit_(failures), open_for_(open_for) {}

  // One request's leave, and what became of it. Destroyed without a word (the client left, the
  // request was wrong) it says nothing of the upstream.
  class [[nodiscard]] Permit {
   public:
    Permit(Permit&& other) noexcept = default;
    Permit& operator=(Permit&& other) noexcept;
    ~Permit() { settle(); }

    // The answer has begun: others may try too, but a failure of this one opens again.
    void began();
    void worked();
    void failed(Clock::time_point now = Clock::now());

   private:
    friend class CircuitBreaker;
    Permit(std::shared_ptr<CircuitBreaker> breaker, std::uint64_t period, bool trial)
        : breaker_(std::move(breaker)), period_(period), trial_(trial) {}
    void settle();
    std::shared_ptr<CircuitBreaker> breaker_;  // null once it has spoken
    std::uint64_t period_ = 0;
    bool trial_ = false;
  };

  // Or how long it stays shut, at least.
  std::expected<Permit, std::chrono::milliseconds> enter(Clock::time_point now = Clock::now());
  State state() const;
  int failures() const;  // in a row

 private:
  void open(Clock::time_point now);  // with the mutex held

  const int limit_;
  const std::chrono::milliseconds open_for_;
  mutable std::mutex mutex_;
  State state_ = State::kClosed;
  int failures_ = 0;
  Clock::time_point open_until_{};
  // Counts the times it opened: what a request from before says no longer matters.
  std::uint64_t period_ = 0;
};

}  // namespace tack::gateway
