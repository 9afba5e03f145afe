// Memory that costs nothing until it is used: not written to when it is allocated.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

#include "base/checked.h"

namespace tack {

class UntouchedBuffer {
 public:
  static constexpr std::size_t kAlignment = 64;

  UntouchedBuffer() = default;
  // Throws std::bad_alloc when the system has no memory.
  explicit UntouchedBuffer(std::size_t bytes)
      : data_(static_cast<std::byte*>(
            std::aligned_alloc(kAlignment, round_up(bytes + 1, kAlignment)))),
        size_(bytes) {
    if (!data_) throw std::bad_alloc();
  }

  std::byte* data() const { return data_.get(); }
  std::size_t size() const { return size_; }

  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_.get());
  }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> data_;
  std::size_t size_ = 0;
};

}  // namespace tack
