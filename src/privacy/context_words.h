// The dictionary behind context.h.
#pragma once

#include <string_view>

#include "privacy/context.h"

namespace tack::privacy {

// What a word or phrase speaks of; 0: nothing. `words` is folded: small letters without accents,
// one space between words.
Topics topics_of(std::string_view words);
// Whether a phrase of several words begins so.
bool begins_phrase(std::string_view word);

constexpr std::size_t kMostContextWords = 4;  // of a phrase

}  // namespace tack::privacy
