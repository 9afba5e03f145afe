// Which language a text is in.
#pragma once

#include <string>
#include <string_view>

namespace tack {

// ISO 639-1 ("en") of the text's first 2 KiB, or "" when it is too short or mixed to tell (CLD2).
std::string detect_language(std::string_view text);

}  // namespace tack
