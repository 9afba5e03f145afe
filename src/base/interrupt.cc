#include "base/interrupt.h"

#include <atomic>
#include <csignal>

#include <unistd.h>

namespace tack {
namespace {

std::atomic<bool> flag{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void on_signal(int) {
  if (flag.exchange(true)) ::_exit(130);
}

}  // namespace

void install_interrupt_handlers() {
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() {
  return flag.load(std::memory_order_relaxed);
}

void clear_interrupt() {
  flag.store(false, std::memory_order_relaxed);
}

}  // namespace tack
