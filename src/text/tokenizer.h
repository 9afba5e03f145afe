// Text to token ids.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tack {

using TokenId = std::int32_t;

struct Tokens {
  std::vector<TokenId> ids;            // with the special tokens the model expects
  std::vector<std::int32_t> type_ids;  // empty means all 0 (a single text)
  std::int64_t truncated = 0;          // tokens that did not fit and were dropped: 0 = nothing lost
};

// A word of a text: what the tokenizer never joins with its neighbours.
struct Word {
  std::int64_t begin = 0, end = 0;  // bytes of the text
  std::int64_t token = -1;          // index of its first token in ids; -1: it was cut off
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Never fails: invalid UTF-8 becomes U+FFFD. max_tokens counts the special tokens; 0 = no limit.
  // Thread-safe.
  virtual Tokens encode(std::string_view text, std::int64_t max_tokens = 0) const = 0;
  // Two texts in one input (cross-encoders); the longer one is cut first.
  virtual Tokens encode_pair(std::string_view a, std::string_view b,
                             std::int64_t max_tokens = 0) const = 0;

  // As encode(), and where the words stand, in order.
  virtual Tokens encode_words(std::string_view text, std::int64_t max_tokens,
                              std::vector<Word>& words) const = 0;

  virtual std::int64_t vocab_size() const = 0;
  virtual std::string_view token(TokenId id) const = 0;  // empty for an id out of range
};

}  // namespace tack
