// Byte-level byte-pair encoding: GPT-2, Llama 3, Qwen 2, Tekken. Any bytes can be written with its
// tokens, and decode(encode(x)) is x.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/decoder_tokenizer.h"
#include "text/pretokenizer.h"

namespace tack {

struct ByteBpeConfig {
  std::vector<VocabularyToken> tokens;  // by id; text tokens hold their bytes
  std::vector<TokenPair> merges;        // the first is merged first
  // Instead of merges: any two tokens that join to a token may be merged, that of the least id
  // first (tiktoken, Tekken).
  bool merge_by_id = false;
  PreTokenizer pre_tokenizer = PreTokenizer::kGpt2;
  bool whole_words = false;  // a word that is a token is not merged together (Llama 3, Tekken)
  bool compose = false;      // texts are brought to NFC first (Qwen 2), and decode() gives that
  SpecialTokens special;
};

// Errors: a byte without a token, a merge whose result is no token, two tokens of the same bytes.
Result<std::unique_ptr<Tokenizer>> make_byte_bpe(ByteBpeConfig config);

// The pairs that merge_by_id means, those of the least joined token first.
std::vector<TokenPair> merges_by_id(const std::vector<VocabularyToken>& tokens);

// GPT-2's way to write bytes in files: each as a printable character. Characters that stand for no
// byte stay as they are.
std::string bytes_of_printable(std::string_view text);
std::string printable_of_bytes(std::string_view bytes);

}  // namespace tack
