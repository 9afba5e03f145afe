// SentencePiece's models: BPE (Llama 2, Mistral, Gemma) and unigram (T5). A space is U+2581; of
// characters that are no piece, the bytes are, where the vocabulary has them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/decoder_tokenizer.h"

namespace tack {

struct SentencePieceConfig {
  enum class Model : std::uint8_t { kBpe, kUnigram };
  Model model = Model::kBpe;
  std::vector<VocabularyToken> pieces;  // by id
  // BPE: the pairs that merge, the first one first, as tokenizer.json has them. Without any, two
  // pieces merge into any other, that of the best score first.
  std::vector<TokenPair> merges;
  // Where a space is put in front: nowhere, before a text, or before every stretch of it between
  // special tokens, too.
  enum class Space : std::uint8_t { kNone, kFirst, kAlways };
  Space space = Space::kAlways;
  bool space_once = false;      // not where the text begins with one
  bool split_words = false;     // every U+2581 begins a word, which pieces never leave
  bool squeeze_spaces = false;  // of spaces in a row one is left, of those at the ends none
  bool byte_fallback = true;    // bytes instead of the unknown piece, where all 256 are there
  // User-defined pieces are found in the raw text (tokenizer.json's added tokens); without, in what
  // normalisation leaves of it, as SentencePiece does.
  bool cut_user_defined = false;
  bool fuse_unknown = true;          // one unknown piece for unknown characters in a row
  std::string precompiled_charsmap;  // normalisation; empty: none
  SpecialTokens special;
};

// Errors: neither all bytes nor an unknown piece, a byte piece that is not "<0xHH>", two pieces of
// the same text, a merge of what are no pieces, a broken charsmap.
Result<std::unique_ptr<Tokenizer>> make_sentencepiece(SentencePieceConfig config);

}  // namespace tack
