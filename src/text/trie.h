// Byte strings in a tree: which of them a text begins with.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace tack {

class Trie {
 public:
  // Empty texts are left out; the first id of equal texts counts.
  void add(std::string_view text, TokenId id);

  bool empty() const { return ids_.size() == 1; }
  // Whether any text begins with this byte: what lets a search skip most of a text.
  bool begins(char first) const { return first_[static_cast<unsigned char>(first)]; }

  struct Match {
    TokenId id = -1;  // none
    std::size_t bytes = 0;
  };
  Match longest(std::string_view text) const;
  // Calls found(id, bytes) for every text that `text` begins with, the shortest first.
  template <class Found>
  void all(std::string_view text, const Found& found) const {
    std::uint32_t node = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (node = child(node, text[i]); node == 0) return;
      if (ids_[node] >= 0) found(ids_[node], i + 1);
    }
  }

 private:
  struct Edge {
    std::uint64_t from = 0;  // node and byte, plus one: 0 is free
    std::uint32_t to = 0;
  };
  static std::uint64_t key(std::uint32_t node, char byte) {
    return (static_cast<std::uint64_t>(node) << 8U | static_cast<unsigned char>(byte)) + 1;
  }
  std::size_t slot(std::uint64_t from) const;
  std::uint32_t child(std::uint32_t node, char byte) const;  // 0: none
  void grow();

  std::vector<TokenId> ids_ = {-1};  // of nodes; the root is 0
  std::vector<Edge> edges_ = std::vector<Edge>(16);
  std::array<bool, 256> first_{};
};

}  // namespace tack
