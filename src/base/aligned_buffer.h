// Memory for arithmetic: 64-byte aligned, padded to whole cache lines, zeroed, move-only.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>

#include "base/checked.h"
#include "base/untouched_buffer.h"

namespace tack {

class AlignedBuffer {
 public:
  static constexpr std::size_t kAlignment = UntouchedBuffer::kAlignment;

  AlignedBuffer() = default;
  // Throws std::bad_alloc when the system has no memory; sizes from files are checked by the
  // caller.
  explicit AlignedBuffer(std::size_t bytes) : memory_(bytes) {
    std::memset(memory_.data(), 0, round_up(bytes + 1, kAlignment));
  }

  std::byte* data() { return memory_.data(); }
  const std::byte* data() const { return memory_.data(); }
  std::size_t size() const { return memory_.size(); }

  template <class T>
  T* as() {
    return memory_.as<T>();
  }
  template <class T>
  const T* as() const {
    return memory_.as<T>();
  }

 private:
  UntouchedBuffer memory_;
};

}  // namespace tack
