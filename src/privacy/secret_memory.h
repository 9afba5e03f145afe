// Memory for values that no one else may read: left out of core dumps, locked in memory where the
// limits allow it, between guard pages, wiped when it is given back.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

namespace tack::privacy {

// Grows by whole blocks; what was stored stays where it is until the end. Used on one strand.
class SecretMemory {
 public:
  SecretMemory() = default;
  SecretMemory(const SecretMemory&) = delete;
  SecretMemory& operator=(const SecretMemory&) = delete;

  // A copy of `value`, as long as this lives. Throws std::bad_alloc.
  std::string_view store(std::string_view value);

 private:
  struct Free {
    void operator()(char* block) const;
  };
  std::vector<std::unique_ptr<char, Free>> blocks_;
  char* next_ = nullptr;
  std::size_t left_ = 0;
  std::size_t block_bytes_ = 4096;  // of the next one
};

}  // namespace tack::privacy
