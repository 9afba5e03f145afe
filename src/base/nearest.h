// "Did you mean": the known word that a mistyped one stands for.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace tack {

// The known word that the fewest insertions, deletions, exchanges and swaps of neighbouring bytes
// make of `word`, without case. "" when even that takes more than a third of the word's letters.
std::string_view nearest(std::string_view word, std::span<const std::string> known);

// "; did you mean 'billing'?", or nothing.
std::string did_you_mean(std::string_view word, std::span<const std::string> known);

}  // namespace tack
