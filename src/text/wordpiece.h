// BERT's WordPiece tokenizer with its normalisation: identical to Hugging Face `tokenizers`
// (BertNormalizer, BertPreTokenizer, WordPiece, TemplateProcessing "[CLS] $A [SEP]").
#pragma once

#include <memory>

#include "base/json.h"
#include "text/tokenizer.h"

namespace tack {

struct WordPieceConfig {
  std::vector<std::string> vocab;  // index = id; continuation pieces carry the prefix below
  std::string continuing_prefix = "##";
  std::string unknown = "[UNK]", cls = "[CLS]", sep = "[SEP]", pad = "[PAD]", mask = "[MASK]";
  std::int64_t max_chars_per_word = 100;
  bool lowercase = true;
  bool clean_text = true;
  bool split_cjk = true;
  bool strip_accents = true;  // when the file says null: the value of lowercase
};

// Errors: a special token missing from the vocabulary, duplicate pieces, an empty vocabulary.
Result<std::unique_ptr<Tokenizer>> make_wordpiece(WordPieceConfig config);

// From a tokenizer.json whose model is WordPiece; `name` stands in error messages.
Result<WordPieceConfig> wordpiece_from_tokenizer_json(const Json& json, std::string_view name);

// GGUF files of BERT models store pieces the llama.cpp way: a word start carries U+2581 in front,
// a continuation has no "##", special tokens "[X]" are as they are. These convert whole
// vocabularies.
std::vector<std::string> wordpiece_vocab_from_gguf(std::span<const std::string> tokens);
std::vector<std::string> wordpiece_vocab_to_gguf(std::span<const std::string> vocab);

}  // namespace tack
