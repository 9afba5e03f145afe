#include "net/idle_sweeper.h"

#include <algorithm>
#include <utility>

namespace tack::net {

namespace asio = boost::asio;
using std::chrono::milliseconds;

IdleSweeper::IdleSweeper(asio::execution_context& context)
    : asio::execution_context::service(context),
      context_(static_cast<asio::io_context&>(context)),
      timer_(context_) {}

IdleSweeper& IdleSweeper::of(asio::io_context& context) {
  return asio::use_service<IdleSweeper>(context);
}

void IdleSweeper::add(std::weak_ptr<IdleOwner> owner, milliseconds keep) {
  const std::lock_guard lock(mutex_);
  pause_ = std::clamp(keep / 4, milliseconds(20), pause_);
  owners_.push_back(std::move(owner));
  if (!std::exchange(scheduled_, true)) schedule();
}

void IdleSweeper::schedule() {
  timer_.expires_after(pause_);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) sweep();
  });
}

// Owners are asked without the mutex: one that fills up meanwhile calls add().
void IdleSweeper::sweep() {
  std::vector<std::weak_ptr<IdleOwner>> owners;
  {
    const std::lock_guard lock(mutex_);
    owners.swap(owners_);
  }
  const auto now = std::chrono::steady_clock::now();
  std::erase_if(owners, [&](const std::weak_ptr<IdleOwner>& weak) {
    const auto owner = weak.lock();
    return !owner || !owner->sweep(context_, now);
  });
  const std::lock_guard lock(mutex_);
  owners_.insert(owners_.end(), owners.begin(), owners.end());
  scheduled_ = !owners_.empty();
  if (scheduled_) schedule();
}

void IdleSweeper::shutdown() noexcept {
  std::vector<std::weak_ptr<IdleOwner>> owners;
  {
    const std::lock_guard lock(mutex_);
    owners.swap(owners_);
  }
  for (const auto& weak : owners)
    if (const auto owner = weak.lock()) owner->drop_all(&context_);
}

}  // namespace tack::net
