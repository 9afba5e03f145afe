// How many requests and tokens a minute each key may use. A bucket a key and kind holds what a
// minute allows, and fills again at that rate: a full minute's worth may come at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "gateway/call.h"
#include "gateway/key_file.h"

namespace tack::gateway {

struct Admission {
  // A 429 whose retry_after is when the same request will be admitted.
  std::optional<Failure> refused;
  // x-ratelimit-limit-requests, -remaining-requests, -reset-requests, and the same of tokens; for
  // the answer, refused or not. Only of limits that the key has.
  net::Headers headers;
};

// Thread-safe. Times are of a clock that never jumps; one that lies before the last is taken as it.
class RateLimiter {
 public:
  using Clock = std::chrono::steady_clock;

  // A request begins. A refused one uses nothing up.
  Admission admit(const Key& key, Clock::time_point now = Clock::now());
  // What it used, known when its answer is complete (or broke off). The bucket may go below
  // nothing: then requests wait until that is made up for.
  void charge(const Key& key, std::int64_t tokens, Clock::time_point now = Clock::now());

 private:
  struct Bucket {
    double level = -1;  // -1 and no time: full
    std::optional<Clock::time_point> at;

    // Fills up to `now` for a limit a minute.
    void refill(std::int64_t limit, Clock::time_point now);
  };
  struct Buckets {
    Bucket requests, tokens;
  };
  static void report(const Bucket& bucket, std::int64_t limit, const char* kind,
                     net::Headers& headers);

  std::mutex mutex_;
  std::map<std::string, Buckets, std::less<>> buckets_;  // by name of key: they are few
};

// As OpenAI writes spans of time: "120ms", "1s", "1m12.5s", "2h0m0s".
std::string reset_text(std::chrono::milliseconds time);

}  // namespace tack::gateway
