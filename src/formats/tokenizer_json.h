// tokenizer.json of Hugging Face `tokenizers`: the vocabulary in lists, the small rest as JSON.
// Read with simdjson, as vocabularies have a quarter of a million tokens and as many merges.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace tack {

struct TokenizerJson {
  struct Added {
    std::string text;
    std::int64_t id = 0;
    bool special = false, strips_left = false, strips_right = false;
  };
  std::vector<std::string> tokens;  // by id: the model's, then those added behind; "" is a gap
  std::vector<double> scores;       // of a unigram model
  std::vector<std::pair<std::string, std::string>> merges;
  std::vector<Added> added;
  Json rest;  // everything but model.vocab, model.merges and added_tokens

  // `name` stands in error messages.
  static Result<TokenizerJson> parse(std::string_view text, std::string_view name);
};

}  // namespace tack
