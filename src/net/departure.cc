#include "net/departure.h"

namespace tack::net {

Departure::Watch& Departure::Watch::operator=(Watch&& other) noexcept {
  if (this == &other) return *this;
  if (owner_) owner_->forget(id_);
  owner_ = std::move(other.owner_);
  id_ = std::exchange(other.id_, 0);
  return *this;
}

Departure::Watch::~Watch() {
  if (owner_) owner_->forget(id_);
}

Departure::Watch Departure::on_gone(Callback callback) {
  if (gone()) {
    callback();
    return {};
  }
  const std::uint64_t id = ++last_id_;
  callbacks_.emplace_back(id, std::move(callback));
  if (Callback begin = std::exchange(begin_, nullptr)) begin();
  return Watch(shared_from_this(), id);
}

void Departure::depart() {
  gone_.store(true, std::memory_order_release);
  const auto self = shared_from_this();
  // One by one off the list, since a callback may take others off it.
  while (!callbacks_.empty()) {
    Callback callback = std::move(callbacks_.front().second);
    callbacks_.erase(callbacks_.begin());
    callback();
  }
}

void Departure::finish() {
  callbacks_.clear();
  begin_ = nullptr;
}

void Departure::forget(std::uint64_t id) {
  std::erase_if(callbacks_, [&](const auto& entry) { return entry.first == id; });
}

}  // namespace tack::net
