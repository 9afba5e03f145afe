// Texts cut into windows that a model can take.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace tack::guard {

// How many tokens a text may have at most, nearly: what WordPiece makes of words is counted
// generously. Every character outside ASCII counts one.
std::int64_t estimate_tokens(std::string_view text);

// Stretches of whole words of at most `context` tokens each (two of them are the model's own), each
// but the first beginning a fifth of a window before the one ahead of it ends. Of a text that goes
// on all windows but the last stay the same. Empty for white space alone. Linear.
std::vector<std::string_view> cut_windows(std::string_view text, std::int64_t context);

}  // namespace tack::guard
