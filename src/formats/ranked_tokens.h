// Vocabularies whose tokens merge by rank: Mistral's tekken.json, and tiktoken's files, which name
// a token and its rank on each line.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tack {

struct RankedTokens {
  std::vector<std::string> tokens;    // bytes, by rank
  std::string pattern;                // tekken.json: the expression that cuts words
  std::vector<std::string> specials;  // tekken.json: ids 0 and on, the tokens follow; "" is a gap

  // `name` stands in error messages.
  static Result<RankedTokens> parse_tekken(std::string_view json, std::string_view name);
  static Result<RankedTokens> parse_tiktoken(std::string_view text, std::string_view name);
};

Result<std::string> decode_base64(std::string_view text);

}  // namespace tack
