// How byte-level BPE cuts a text into words before it merges: the published regular expressions of
// GPT-2, Llama 3, Qwen 2 and Tekken as hand-written scanners that look at each character a few
// times, however long a run is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tack {

enum class PreTokenizer : std::uint8_t { kGpt2, kLlama3, kQwen2, kTekken };

// Bytes of the first word of `text`, which is not empty. A byte that is not UTF-8 is a character of
// no class.
std::size_t first_word(PreTokenizer kind, std::string_view text);

}  // namespace tack
