// Answers to requests that came before, byte for byte the same: the least recently used give way.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gateway/call.h"
#include "gateway/config.h"

namespace tack::gateway {

struct CachedAnswer {
  std::string model;                // whose answer it is
  std::string body;                 // of a call that did not stream
  std::vector<std::string> events;  // of one that did
  Outcome outcome;
};

// Any thread.
class AnswerCache {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;
  explicit AnswerCache(const CacheConfig& config, Clock clock = std::chrono::steady_clock::now);

  bool enabled() const { return limit_ > 0; }

  // Every member of the body counts, in any order, and so do operation, client and `plan` (the
  // models that may answer): what one client was told is never shown to another.
  static std::string key(const Call& call, const std::vector<std::string>& plan);

  std::shared_ptr<const CachedAnswer> find(const std::string& key);
  // Answers larger than an eighth of the cache are not kept.
  void put(const std::string& key, CachedAnswer answer);

  std::size_t bytes() const;

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const CachedAnswer> answer;
    std::size_t bytes = 0;
    std::chrono::steady_clock::time_point until;
  };
  void remove(std::list<Entry>::iterator entry);

  const std::size_t limit_;
  const std::chrono::milliseconds ttl_;
  const Clock clock_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // the most recently used first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_key_;
  std::size_t bytes_ = 0;
};

}  // namespace tack::gateway
