// What the tokenizers of decoders share: tokens that are found in the raw text before anything
// else, beginning and end, the cut.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"
#include "text/trie.h"

namespace tack {

// The numbers are those of GGUF's tokenizer.ggml.token_type.
enum class TokenKind : std::uint8_t {
  kText = 1,
  kUnknown = 2,      // stands for what no other token does
  kControl = 3,      // has no text; made from text only on request
  kUserDefined = 4,  // text that is always one token
  kUnused = 5,
  kByte = 6,  // SentencePiece's "<0x0A>"
};

struct VocabularyToken {
  std::string text;
  TokenKind kind = TokenKind::kText;
  float score = 0;  // SentencePiece: the best is merged first
  // Takes the white space before or behind it along when it is found in a text.
  bool strips_left = false, strips_right = false;
};

// Two that merge into the token of their joined texts.
struct TokenPair {
  TokenId left, right;
};

class DecoderTokenizer : public Tokenizer {
 public:
  Tokens encode(std::string_view text, std::int64_t max_tokens) const override;
  Tokens encode_with_special(std::string_view text, std::int64_t max_tokens) const override;
  Tokens encode_pair(std::string_view a, std::string_view b,
                     std::int64_t max_tokens) const override;
  Tokens encode_words(std::string_view text, std::int64_t max_tokens,
                      std::vector<Word>& words) const override;
  std::int64_t vocab_size() const override { return static_cast<std::int64_t>(tokens_.size()); }
  std::string_view token(TokenId id) const override {
    return has(id) ? std::string_view(at(id).text) : std::string_view();
  }
  const SpecialTokens& special() const override { return special_; }

 protected:
  // Errors when a special id is none of the tokens. cut_user_defined: user-defined tokens are found
  // here, in the raw text; else append() has to.
  Status adopt(std::vector<VocabularyToken> tokens, const SpecialTokens& special,
               bool cut_user_defined);

  // Appends the ids of a stretch of a text between the tokens that were found; `first`: the text
  // begins with it.
  virtual void append(std::string_view text, bool first, std::vector<TokenId>& ids) const = 0;
  // The same, with the words of the stretch.
  virtual void append_words(std::string_view text, bool first, std::vector<TokenId>& ids,
                            std::vector<Word>& words) const = 0;

  bool has(TokenId id) const { return id >= 0 && id < vocab_size(); }
  const VocabularyToken& at(TokenId id) const { return tokens_[static_cast<std::size_t>(id)]; }
  const std::vector<VocabularyToken>& tokens() const { return tokens_; }

 private:
  std::vector<TokenId> ids_of(std::string_view text, const Trie& spelled) const;
  // The tokens of `spelled` in the text, leftmost and longest, and the stretches between them.
  template <class Stretch, class Token>
  void cut(std::string_view text, const Trie& spelled, const Stretch& stretch,
           const Token& token) const;
  Tokens frame(std::vector<TokenId> ids, std::int64_t max_tokens) const;

  std::vector<VocabularyToken> tokens_;
  SpecialTokens special_;
  Trie always_;      // what encode() finds
  Trie on_request_;  // what encode_with_special() finds: those, control and unknown tokens
};

}  // namespace tack
