// Text to token ids, and back.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
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

// Tokens that mean something to whoever generates.
struct SpecialTokens {
  std::optional<TokenId> bos, eos;        // begin and end of a text
  std::optional<TokenId> eot;             // end of a turn of a chat
  bool add_bos = false, add_eos = false;  // encode() puts them around a text
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Never fails. WordPiece reads invalid UTF-8 as U+FFFD; decoders' tokenizers keep the bytes.
  // max_tokens counts the special tokens; 0 = no limit. Thread-safe.
  virtual Tokens encode(std::string_view text, std::int64_t max_tokens = 0) const = 0;
  // As encode(), but control tokens that the text spells out become those tokens, and a text that
  // spells out its beginning gets no other: for prompts made by a chat template. Decoders' encode()
  // takes them as the letters they are, so that no text can pretend to be a turn of a chat.
  virtual Tokens encode_with_special(std::string_view text, std::int64_t max_tokens = 0) const = 0;
  // Two texts in one input (cross-encoders); the longer one is cut first.
  virtual Tokens encode_pair(std::string_view a, std::string_view b,
                             std::int64_t max_tokens = 0) const = 0;

  // As encode(), and where the words stand, in order.
  virtual Tokens encode_words(std::string_view text, std::int64_t max_tokens,
                              std::vector<Word>& words) const = 0;

  // What the ids stand for; special tokens and ids out of range stand for nothing. The bytes of a
  // decoder's tokens are exact: decode(encode(x)) is x, and ids that end inside a character give a
  // part of it (StreamDecoder waits for the rest).
  virtual std::string decode(std::span<const TokenId> ids) const = 0;
  // The bytes one token stands for inside a text.
  virtual std::string token_bytes(TokenId id) const = 0;

  virtual std::int64_t vocab_size() const = 0;
  virtual std::string_view token(TokenId id) const = 0;  // empty for an id out of range
  virtual const SpecialTokens& special() const = 0;
};

// The text of ids that come one by one, in whole characters: joined, what push() and finish()
// return is decode() of all ids.
class StreamDecoder {
 public:
  // `tokenizer` must outlive this. continues: the ids go on a text, and do not begin one (of which
  // SentencePiece drops the space it put in front).
  explicit StreamDecoder(const Tokenizer& tokenizer, bool continues = false)
      : tokenizer_(tokenizer), begun_(continues) {}

  std::string push(TokenId id);
  // What is held back: the bytes of a character that was never completed.
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  bool begun_;
  std::string held_;
};

}  // namespace tack
