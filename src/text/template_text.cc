// Characters of UTF-8 text.
#include <cctype>

#include <utf8proc.h>

#include "text/template_value.h"

namespace tack::jinja {

std::size_t char_bytes(std::string_view s, std::size_t at) {
  if (static_cast<unsigned char>(s[at]) < 0x80) return 1;
  utf8proc_int32_t code = 0;
  const auto n = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(s.data()) + at,
                                  static_cast<utf8proc_ssize_t>(s.size() - at), &code);
  return n > 0 ? static_cast<std::size_t>(n) : 1;
}
std::int64_t char_count(std::string_view s) {
  std::int64_t n = 0;
  for (std::size_t i = 0; i < s.size(); i += char_bytes(s, i)) ++n;
  return n;
}
std::int32_t code_point(std::string_view character) {
  if (character.size() == 1 && static_cast<unsigned char>(character[0]) < 0x80) return character[0];
  utf8proc_int32_t code = -1;
  utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(character.data()),
                   static_cast<utf8proc_ssize_t>(character.size()), &code);
  return code;
}
void append_utf8(std::string& out, std::uint32_t code) {
  utf8proc_uint8_t buffer[4];
  if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) code = 0xFFFD;
  const auto n = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code), buffer);
  out.append(reinterpret_cast<const char*>(buffer), static_cast<std::size_t>(n));
}
bool is_space(std::string_view character) {
  const std::int32_t c = code_point(character);
  if (c < 0) return false;
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x1f);
  if (c == 0x85) return true;
  const auto category = utf8proc_category(c);
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}
std::string_view strip(std::string_view s, bool left, bool right,
                       const std::function<bool(std::string_view)>& drops) {
  while (left && !s.empty()) {
    const std::size_t n = char_bytes(s, 0);
    if (!drops(s.substr(0, n))) break;
    s.remove_prefix(n);
  }
  while (right && !s.empty()) {
    std::size_t n = 1;
    while (n < 4 && n < s.size() && (static_cast<unsigned char>(s[s.size() - n]) & 0xC0) == 0x80)
      ++n;
    if (!drops(s.substr(s.size() - n))) break;
    s.remove_suffix(n);
  }
  return s;
}
std::size_t find_in(std::string_view s, std::string_view what, Meter& meter) {
  meter.scan(s.size() + (s.size() * std::min<std::size_t>(what.size(), s.size()) >> 2));
  return s.find(what);
}
std::string escaped_html(std::string_view s) {
  std::string out;
  for (char c : s) {
    const std::string_view as = c == '&'    ? "&amp;"
                                : c == '<'  ? "&lt;"
                                : c == '>'  ? "&gt;"
                                : c == '"'  ? "&#34;"
                                : c == '\'' ? "&#39;"
                                            : std::string_view(&c, 1);
    out += as;
  }
  return out;
}
std::string change_case(std::string_view s, bool upper) {
  std::string out;
  for (std::string_view c : Characters(s)) {
    const std::int32_t code = code_point(c);
    if (code < 0)
      out += c;
    else if (code < 0x80)
      out += static_cast<char>(upper ? std::toupper(code) : std::tolower(code));
    else if (upper && code == 0xDF)
      out += "SS";
    else
      append_utf8(
          out, static_cast<std::uint32_t>(upper ? utf8proc_toupper(code) : utf8proc_tolower(code)));
  }
  return out;
}

}  // namespace tack::jinja
