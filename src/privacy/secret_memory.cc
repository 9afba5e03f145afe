#include "privacy/secret_memory.h"

#include <algorithm>
#include <new>

#include <sodium.h>

namespace tack::privacy {
namespace {

constexpr std::size_t kMostBlockBytes = std::size_t{1} << 20;

// sodium_malloc() locks the pages where it can, advises the kernel to leave them out of core dumps,
// and goes on when the limit of locked memory is reached.
char* new_block(std::size_t bytes) {
  static const bool kReady = sodium_init() >= 0;
  void* const block = kReady ? sodium_malloc(bytes) : nullptr;
  if (block == nullptr) throw std::bad_alloc();
  return static_cast<char*>(block);
}

}  // namespace

void SecretMemory::Free::operator()(char* block) const {
  sodium_free(block);
}

std::string_view SecretMemory::store(std::string_view value) {
  if (value.empty()) return {};
  if (value.size() > left_) {
    const std::size_t bytes = std::max(block_bytes_, value.size());
    blocks_.emplace_back(new_block(bytes));
    next_ = blocks_.back().get();
    left_ = bytes;
    block_bytes_ = std::min(2 * block_bytes_, kMostBlockBytes);
  }
  std::ranges::copy(value, next_);
  const std::string_view stored(next_, value.size());
  next_ += value.size();
  left_ -= value.size();
  return stored;
}

}  // namespace tack::privacy
