// SentencePiece's precompiled normalisation: which byte strings of a text become which others. The
// file has a double-array trie (the format of Darts-clone) of the former and, behind it, the
// latter.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tack {

class Charsmap {
 public:
  // Maps nothing.
  Charsmap() = default;
  // `bytes` as in tokenizer.model and in GGUF: the trie's size, the trie, texts that end with 0.
  static Result<Charsmap> parse(std::string_view bytes);

  bool empty() const { return units_.empty(); }

  struct Match {
    std::size_t bytes = 0;  // 0: nothing is mapped here
    std::string_view text;  // what they become
  };
  // The longest that `text` begins with.
  Match longest(std::string_view text) const;

 private:
  std::vector<std::uint32_t> units_;
  std::string texts_;
};

}  // namespace tack
