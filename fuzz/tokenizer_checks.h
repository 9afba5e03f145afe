// What holds for every tokenizer and text.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

// The words of a text give its ids, and stand in it one behind the other, from end to end.
inline void check_words(const tack::Tokenizer& tokenizer, std::string_view text,
                        const tack::Tokens& tokens) {
  std::vector<tack::Word> words;
  if (tokenizer.encode_words(text, 0, words).ids != tokens.ids) std::abort();
  std::int64_t at = 0;
  for (const tack::Word& word : words) {
    if (word.begin != at || word.end <= word.begin) std::abort();
    at = word.end;
  }
  if (at != static_cast<std::int64_t>(text.size())) std::abort();
}
