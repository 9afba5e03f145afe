// A model with fewer tokens: those that a user's texts use, and what keeps every other text
// writable. Rows of tokens are copied as they are, so that a text whose tokens all stay gets the
// same results, bit for bit.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/gguf_draft.h"
#include "models/model.h"

namespace tack {

// How often each token of the vocabulary is used by the texts.
std::vector<std::int64_t> count_tokens(const Tokenizer& tokenizer,
                                       std::span<const std::string> texts);

struct VocabularyChoice {
  std::vector<std::int64_t> counts;  // count_tokens(); empty: no texts
  std::int64_t min_count = 1;        // uses from which a token stays
  std::int64_t size = 0;             // tokens to keep; 0: those in use, and what they need
  std::string command;               // for the lineage
};

struct KeptVocabulary {
  std::vector<TokenId> ids;  // ascending
  // Of them: those that always stay, those in use that do not always stay, parts that tokens are
  // merged from, and what fills up to the size by the order of the vocabulary.
  std::int64_t always = 0, used = 0, parts = 0, filled = 0;
  std::int64_t left_out = 0;  // tokens in use for which the size had no room
};
// Errors: kUsage for a size that is too small (says the least) or no smaller than the vocabulary,
// for a choice of nothing, and for a model without a tokenizer or GGUF.
Result<KeptVocabulary> choose_vocabulary(const Model& model, const VocabularyChoice& choice);

struct VocabularyPruning {
  KeptVocabulary kept;
  std::int64_t tokens_before = 0;
  std::uint64_t bytes_before = 0, bytes_after = 0;
  std::unique_ptr<Tokenizer> tokenizer;  // of the result
};
// Writes the model with the tokens chosen to `out`; an empty path writes nothing and predicts the
// same. Atomic. Errors: as choose_vocabulary().
Result<VocabularyPruning> prune_vocabulary(const Model& model, const VocabularyChoice& choice,
                                           const std::filesystem::path& out);

// What became of texts.
struct TokenizationChange {
  std::int64_t texts = 0, words = 0, same_words = 0;  // words with the tokens they had
  std::int64_t tokens_before = 0, tokens_after = 0;
};
TokenizationChange compare_tokenization(const Tokenizer& before, const Tokenizer& after,
                                        std::span<const TokenId> kept,
                                        std::span<const std::string> texts);

// Adds what was done to the model's lineage: an entry of its list "pruned".
Status add_lineage(const Model& model, const Json& entry, GgufDraft& draft);

}  // namespace tack
