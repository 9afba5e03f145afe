// The bytes of every token of a model, arranged for asking "which tokens may come next?".
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace tack {

// Made once per model, never changed, shared by all threads.
class TokenVocabulary {
 public:
  // Tokens as a tree of their bytes, in pre-order: a node's descendants follow it, up to `end`.
  struct Node {
    std::uint32_t end = 0;     // first node that is no descendant
    std::uint32_t tokens = 0;  // ids[tokens] up to the next node's: tokens that end here
    std::uint16_t depth = 0;   // bytes from the root; the root itself is not stored
    std::uint16_t below = 0;   // bytes from here to the deepest descendant
    std::uint8_t byte = 0;
  };
  struct Trie {
    std::vector<Node> nodes;  // and one more, so that nodes[i + 1] always exists
    std::vector<TokenId> ids;
    std::vector<std::uint16_t> characters;  // of ids; of plain tokens only
    std::uint32_t size() const { return static_cast<std::uint32_t>(nodes.size() - 1); }
  };

  // `tokens`: bytes by id; a token without bytes (special ones) is never allowed. `ends`: tokens
  // that end an output, whatever their bytes. Errors (kUsage): no token, an id of `ends` out of
  // range, a token beyond kLongestToken.
  static Result<std::shared_ptr<const TokenVocabulary>> create(std::vector<std::string> tokens,
                                                               std::vector<TokenId> ends);
  static constexpr std::size_t kLongestToken = 4096;  // bytes

  std::size_t size() const { return tokens_.size(); }
  std::size_t mask_words() const { return (tokens_.size() + 31) / 32; }
  std::string_view bytes(TokenId id) const { return tokens_[static_cast<std::size_t>(id)]; }
  std::span<const TokenId> ends() const { return ends_; }
  bool is_end(TokenId id) const;
  std::size_t longest() const { return longest_; }  // bytes of the longest token

  // Plain tokens are whole characters that stand for themselves inside a JSON string: most of a
  // vocabulary. `rest` are the others.
  const Trie& plain() const { return plain_; }
  const Trie& rest() const { return rest_; }
  std::span<const std::uint32_t> plain_mask() const { return plain_mask_; }
  // Plain tokens of more than `characters` characters.
  struct Length {
    std::uint32_t characters;
    TokenId id;
  };
  std::span<const Length> plain_longer_than(std::uint32_t characters) const;

 private:
  std::vector<std::string> tokens_;
  std::vector<TokenId> ends_;  // sorted
  std::size_t longest_ = 0;
  Trie plain_, rest_;
  std::vector<std::uint32_t> plain_mask_;
  std::vector<Length> plain_lengths_;  // longest first
};

}  // namespace tack
