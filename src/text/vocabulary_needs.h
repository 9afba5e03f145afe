// What the tokens of a vocabulary need of each other: which may go when it is made smaller, so that
// every text that could be written with it still can.
#pragma once

#include <vector>

#include "text/byte_bpe.h"
#include "text/sentencepiece.h"
#include "text/wordpiece.h"

namespace tack {

struct VocabularyNeeds {
  // By id: stays whatever the texts are. Special, control, user-defined and byte tokens, single
  // characters and bytes, and pieces with a character that is no piece by itself.
  std::vector<bool> always;
  // By id: the two whose merge is the last that makes the token; {-1, -1} when none does. A token
  // that stays needs them: without, no text comes to it. (A word that is a token and is looked up
  // whole, as Llama 3's, may have none.)
  std::vector<TokenPair> parts;
  // All ids, those that are more frequent in the text the vocabulary was made from first: by merge,
  // by score, or by id.
  std::vector<TokenId> by_frequency;
};

// With the tokens that stay, their parts and `always`, a text whose tokens all stay has the same
// tokens as before. No text gets an unknown token that had none, but for a word with characters
// that are no pieces by themselves.
VocabularyNeeds vocabulary_needs(const WordPieceConfig& config);
VocabularyNeeds vocabulary_needs(const ByteBpeConfig& config);
VocabularyNeeds vocabulary_needs(const SentencePieceConfig& config);

}  // namespace tack
