#include "text/language.h"

#include <algorithm>

#include <cld2/public/compact_lang_det.h>

namespace tack {

std::string detect_language(std::string_view text) {
  constexpr std::size_t kEnough = 2048;
  std::size_t end = std::min(text.size(), kEnough);
  while (end < text.size() && end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U)
    --end;  // not within a character
  const std::string_view head = text.substr(0, end);
  bool reliable = false;
  const CLD2::Language language =
      CLD2::DetectLanguage(head.data(), static_cast<int>(head.size()), true, &reliable);
  if (!reliable || language == CLD2::UNKNOWN_LANGUAGE) return "";
  const std::string code = CLD2::LanguageCode(language);
  return code.substr(0, code.find('-'));  // "zh-Hant" is "zh"
}

}  // namespace tack
