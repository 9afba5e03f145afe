#include "gateway/rate_limiter.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace tack::gateway {
namespace {

using std::chrono::milliseconds;

// How long a bucket takes to gain so much.
milliseconds time_for(double amount, std::int64_t limit) {
  constexpr double kMsPerMinute = 60'000;
  return milliseconds(
      static_cast<std::int64_t>(std::ceil(amount * kMsPerMinute / static_cast<double>(limit))));
}

// Rounding errors of a level that is filled in small steps.
constexpr double kTiny = 1e-6;

}  // namespace

void RateLimiter::Bucket::refill(std::int64_t limit, Clock::time_point now) {
  const auto full = static_cast<double>(limit);
  if (!at) level = full;
  const double minutes =
      at ? std::chrono::duration<double, std::ratio<60>>(std::max(now, *at) - *at).count() : 0;
  level = std::min(full, level + minutes * full);  // also when the limit has become smaller
  at = at ? std::max(now, *at) : now;
}

void RateLimiter::report(const Bucket& bucket, std::int64_t limit, const char* kind,
                         net::Headers& headers) {
  const auto left = static_cast<std::int64_t>(std::floor(std::max(0.0, bucket.level + kTiny)));
  headers.set(fmt::format("x-ratelimit-limit-{}", kind), std::to_string(limit));
  headers.set(fmt::format("x-ratelimit-remaining-{}", kind), std::to_string(left));
  headers.set(fmt::format("x-ratelimit-reset-{}", kind),
              reset_text(time_for(static_cast<double>(limit) - bucket.level - kTiny, limit)));
}

Admission RateLimiter::admit(const Key& key, Clock::time_point now) {
  Admission admission;
  const std::int64_t requests = key.requests_per_minute, tokens = key.tokens_per_minute;
  if (requests <= 0 && tokens <= 0) return admission;
  const std::lock_guard lock(mutex_);
  Buckets& buckets = buckets_[key.name];
  milliseconds wait{0};
  const char* kind = "requests";
  // Both ask for one whole unit: what a request certainly uses.
  const auto need_one = [&](Bucket& bucket, std::int64_t limit, const char* which) {
    if (limit <= 0) return;
    bucket.refill(limit, now);
    if (bucket.level >= 1 - kTiny) return;
    const milliseconds its = std::max(milliseconds(1), time_for(1 - bucket.level, limit));
    if (its > wait) kind = which;
    wait = std::max(wait, its);
  };
  need_one(buckets.requests, requests, "requests");
  need_one(buckets.tokens, tokens, "tokens");
  if (wait > milliseconds(0))
    admission.refused =
        Failure{.status = 429,
                .message = fmt::format(
                    "the key '{}' has used its {} {} a minute: try again in {}", key.name,
                    kind == std::string_view("tokens") ? tokens : requests, kind, reset_text(wait)),
                .type = kind,
                .code = "rate_limit_exceeded",
                .another_may_answer = false,
                .retry_after = wait};
  else if (requests > 0)
    buckets.requests.level -= 1;
  if (requests > 0) report(buckets.requests, requests, "requests", admission.headers);
  if (tokens > 0) report(buckets.tokens, tokens, "tokens", admission.headers);
  return admission;
}

void RateLimiter::charge(const Key& key, std::int64_t tokens, Clock::time_point now) {
  if (key.tokens_per_minute <= 0 || tokens <= 0) return;
  const std::lock_guard lock(mutex_);
  Bucket& bucket = buckets_[key.name].tokens;
  bucket.refill(key.tokens_per_minute, now);
  bucket.level -= static_cast<double>(tokens);
}

std::string reset_text(milliseconds time) {
  const std::int64_t ms = std::max<std::int64_t>(0, time.count());
  if (ms == 0) return "0s";
  if (ms < 1000) return fmt::format("{}ms", ms);
  const std::int64_t hours = ms / 3'600'000, minutes = ms / 60'000 % 60;
  const double seconds = static_cast<double>(ms % 60'000) / 1000;
  std::string text;
  if (hours > 0) text += fmt::format("{}h", hours);
  if (hours > 0 || minutes > 0) text += fmt::format("{}m", minutes);
  return text + fmt::format("{}s", seconds);
}

}  // namespace tack::gateway
