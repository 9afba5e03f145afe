// Texts that are written inside of a text in another notation, so that nobody reads them at a
// glance: base64, hexadecimal, escapes, ROT13, digits in place of letters, letters apart.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tack::guard {

enum class Encoding : std::uint8_t { kBase64, kHex, kEscapes, kRot13, kLeet, kSpaced, kInvisible };
std::string_view encoding_name(Encoding encoding);  // "base64"

struct HiddenText {
  Encoding encoding = Encoding::kBase64;
  std::string text;  // what it reads, normalised
};

// Only what reads as text when it is unwrapped, once: of each encoding its stretches joined by line
// breaks. Linear in time; each is at most as long as `text`, which is normalised.
std::vector<HiddenText> hidden_texts(std::string_view text);

}  // namespace tack::guard
