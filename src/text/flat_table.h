// Hash tables of tokenizers: built once, then read by many threads. Open addressing in one array,
// since looking words and pairs up is most of the work of encoding.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace tack {

inline std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
}

inline std::uint64_t hash_of(std::string_view text) {
  constexpr std::uint64_t kFactor = 0x9E3779B97F4A7C15;
  std::uint64_t hash = text.size() * kFactor;
  const char* at = text.data();
  std::size_t left = text.size();
  for (; left >= 8; at += 8, left -= 8) {
    std::uint64_t eight;
    std::memcpy(&eight, at, 8);
    hash = mix(hash ^ eight, kFactor);
  }
  std::uint64_t rest = 0;
  for (std::size_t i = 0; i < left; ++i) rest = rest << 8U | static_cast<unsigned char>(at[i]);
  return mix(hash ^ rest, 0xD6E8FEB86659FD93);
}

// Text -> id. The texts must outlive the table.
class TextTable {
 public:
  explicit TextTable(std::size_t entries = 0) : slots_(std::bit_ceil(entries * 2 + 2)) {}

  // The id that is there already, or -1 when this one was added.
  TokenId add(std::string_view text, TokenId id) {
    const std::uint64_t hash = hash_of(text);
    std::size_t i = hash & (slots_.size() - 1);
    for (; slots_[i].id >= 0; i = (i + 1) & (slots_.size() - 1))
      if (slots_[i].text == text) return slots_[i].id;
    slots_[i] = {text, static_cast<std::uint32_t>(hash >> 32U), id};
    longest_ = std::max(longest_, text.size());
    return -1;
  }
  TokenId find(std::string_view text) const {
    if (text.size() > longest_) return -1;
    const std::uint64_t hash = hash_of(text);
    for (std::size_t i = hash & (slots_.size() - 1); slots_[i].id >= 0;
         i = (i + 1) & (slots_.size() - 1))
      if (slots_[i].tag == static_cast<std::uint32_t>(hash >> 32U) && slots_[i].text == text)
        return slots_[i].id;
    return -1;
  }
  std::size_t longest() const { return longest_; }  // bytes

 private:
  struct Slot {
    std::string_view text;
    std::uint32_t tag = 0;
    TokenId id = -1;
  };
  std::vector<Slot> slots_;
  std::size_t longest_ = 0;
};

// What two neighbours become; the lowest rank is merged first.
struct Merged {
  std::int32_t rank = INT32_MAX;
  TokenId id = -1;  // none
};

class PairTable {
 public:
  explicit PairTable(std::size_t entries = 0) : slots_(std::bit_ceil(entries * 2 + 2)) {}

  // The first of equal pairs counts.
  void add(TokenId left, TokenId right, Merged merged) {
    const std::uint64_t pair = key(left, right);
    std::size_t i = slot(pair);
    for (; slots_[i].merged.id >= 0; i = (i + 1) & (slots_.size() - 1))
      if (slots_[i].pair == pair) return;
    slots_[i] = {pair, merged};
  }
  Merged find(TokenId left, TokenId right) const {
    const std::uint64_t pair = key(left, right);
    for (std::size_t i = slot(pair); slots_[i].merged.id >= 0; i = (i + 1) & (slots_.size() - 1))
      if (slots_[i].pair == pair) return slots_[i].merged;
    return {};
  }

 private:
  struct Slot {
    std::uint64_t pair = 0;
    Merged merged;
  };
  static std::uint64_t key(TokenId left, TokenId right) {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32U |
           static_cast<std::uint32_t>(right);
  }
  std::size_t slot(std::uint64_t pair) const {
    return mix(pair ^ 0x2545F4914F6CDD1D, 0x9E3779B97F4A7C15) & (slots_.size() - 1);
  }
  std::vector<Slot> slots_;
};

}  // namespace tack
