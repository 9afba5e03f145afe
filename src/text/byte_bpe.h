// Byte-level byte-pair encoding: GPT-2, Llama 3, Qwen 2, Tekken. Any bytes can be written with its
// tokens, and decode(encode(x)) is x.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/pretokenizer.h"
#include "text/tokenizer.h"

namespace tack {

struct ByteBpeConfig {
  enum class Kind : std::uint8_t { kText, kSpecial, kUnused };
  struct Token {
    std::string bytes;
    Kind kind = Kind::kText;
  };
  std::vector<Token> tokens;  // by id
  // Pairs of ids, the first merged first; the token of their joined bytes is in `tokens`.
  struct Merge {
    TokenId left, right;
  };
  std::vector<Merge> merges;
  PreTokenizer pre_tokenizer = PreTokenizer::kGpt2;
  bool whole_words = false;      // a word that is a token is not merged together (Llama 3, Tekken)
  std::optional<TokenId> begin;  // put in front of every text
};

class ByteBpe : public Tokenizer {
 public:
  // As encode(), but special tokens that the text spells out become those tokens.
  virtual Tokens encode_with_special(std::string_view text, std::int64_t max_tokens = 0) const = 0;
  // The bytes of text tokens; special ones have none.
  virtual std::string decode(std::span<const TokenId> ids) const = 0;
};

// Errors: a byte without a token, a merge whose result is no token, two tokens of the same bytes.
Result<std::unique_ptr<ByteBpe>> make_byte_bpe(ByteBpeConfig config);

// GPT-2's way to write bytes in files: each as a printable character. Characters that stand for no
// byte stay as they are.
std::string bytes_of_printable(std::string_view text);
std::string printable_of_bytes(std::string_view bytes);

}  // namespace tack
