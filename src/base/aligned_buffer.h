// Memory for arithmetic: 64-byte aligned, padded to whole cache lines, zeroed, move-only.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>

#include "base/checked.h"

namespace tack {

class AlignedBuffer {
 public:
  static constexpr std::size_t kAlignment = 64;

  AlignedBuffer() = default;
  // Throws std::bad_alloc when the system has no memory; sizes from files are checked by the
  // caller.
  explicit AlignedBuffer(std::size_t bytes)
      : data_(static_cast<std::byte*>(
            std::aligned_alloc(kAlignment, round_up(bytes + 1, kAlignment)))),
        size_(bytes) {
    if (!data_) throw std::bad_alloc();
    std::memset(data_.get(), 0, round_up(bytes + 1, kAlignment));
  }

  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  std::size_t size() const { return size_; }

  template <class T>
  T* as() {
    return reinterpret_cast<T*>(data_.get());
  }
  template <class T>
  const T* as() const {
    return reinterpret_cast<const T*>(data_.get());
  }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> data_;
  std::size_t size_ = 0;
};

}  // namespace tack
