#include "privacy/pseudonym.h"

#include <algorithm>

#include <fmt/format.h>

#include "privacy/characters.h"

namespace tack::privacy {
namespace {

constexpr std::size_t kMostDigits = 9;

bool is_name(unsigned char c) {
  return is_upper(c) || is_digit(c) || c == '_';
}

}  // namespace

std::optional<Pseudonym> pseudonym_at(std::string_view text) {
  if (text.size() < 5 || text[0] != '<' || !is_upper(static_cast<unsigned char>(text[1])))
    return std::nullopt;
  std::size_t end = 1;
  while (end < text.size() && end <= kLongestPseudonym &&
         is_name(static_cast<unsigned char>(text[end])))
    ++end;
  if (end >= text.size() || text[end] != '>') return std::nullopt;
  const std::string_view inside = text.substr(1, end - 1);
  const std::size_t line = inside.rfind('_');
  if (line == std::string_view::npos || line > kLongestName) return std::nullopt;
  const std::string_view digits = inside.substr(line + 1);
  if (digits.empty() || digits.size() > kMostDigits || digits[0] == '0') return std::nullopt;
  std::uint32_t number = 0;
  for (const char c : digits) {
    if (!is_digit(static_cast<unsigned char>(c))) return std::nullopt;
    number = number * 10 + static_cast<std::uint32_t>(c - '0');
  }
  return Pseudonym{inside.substr(0, line), number, end + 1};
}

bool may_become_pseudonym(std::string_view text) {
  if (text.size() >= kLongestPseudonym) return false;
  if (text.size() > 1 && !is_upper(static_cast<unsigned char>(text[1]))) return false;
  return std::ranges::all_of(text.substr(1),
                             [](char c) { return is_name(static_cast<unsigned char>(c)); });
}

std::string pseudonym(std::string_view name, std::uint32_t number) {
  return fmt::format("<{}_{}>", name, number);
}

}  // namespace tack::privacy
