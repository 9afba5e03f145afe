#include "gateway/cache.h"

#include "base/hash.h"

namespace tack::gateway {
namespace {

constexpr std::size_t kEntryOverhead = 256;  // of the containers, about

std::size_t size_of(const CachedAnswer& answer) {
  std::size_t sum = answer.body.size() + answer.model.size() + kEntryOverhead;
  for (const std::string& event : answer.events) sum += event.size() + sizeof event;
  return sum;
}

}  // namespace

AnswerCache::AnswerCache(const CacheConfig& config, Clock clock)
    : limit_(config.max_bytes), ttl_(config.ttl), clock_(std::move(clock)) {}

std::string AnswerCache::key(const Call& call, const Plan& plan, const Egress& egress) {
  // The unordered kind of JSON sorts its members.
  nlohmann::json whole = nlohmann::json::object();
  whole["endpoint"] = endpoint(call.operation);
  whole["client"] = call.client;
  whole["models"] = plan.models;
  whole["min_confidence"] = plan.min_confidence.value_or(-1);
  whole["privacy"] = name_of(egress.mode);
  whole["upstreams"] = egress.allowed;
  whole["body"] = nlohmann::json(call.body);
  return sha256_hex(whole.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

std::shared_ptr<const CachedAnswer> AnswerCache::find(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  if (found->second->until <= clock_()) {
    remove(found->second);
    return nullptr;
  }
  entries_.splice(entries_.begin(), entries_, found->second);
  return entries_.front().answer;
}

void AnswerCache::put(const std::string& key, CachedAnswer answer) {
  const std::size_t bytes = size_of(answer);
  if (!has_room_for(bytes)) return;
  const std::lock_guard lock(mutex_);
  if (const auto old = by_key_.find(key); old != by_key_.end()) remove(old->second);
  entries_.push_front(
      {key, std::make_shared<const CachedAnswer>(std::move(answer)), bytes, clock_() + ttl_});
  by_key_[key] = entries_.begin();
  bytes_ += bytes;
  while (bytes_ > limit_) remove(std::prev(entries_.end()));
}

std::size_t AnswerCache::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

void AnswerCache::remove(std::list<Entry>::iterator entry) {
  bytes_ -= entry->bytes;
  by_key_.erase(entry->key);
  entries_.erase(entry);
}

}  // namespace tack::gateway
