// "<EMAIL_1>": how values are named.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tack::privacy {

struct Pseudonym {
  std::string_view name;  // "EMAIL": capitals, digits, '_'; a capital first
  std::uint32_t number = 0;
  std::size_t size = 0;  // bytes, brackets included
};
constexpr std::size_t kLongestName = 40;
constexpr std::size_t kLongestPseudonym = kLongestName + 12;

// The one that `text` begins with.
std::optional<Pseudonym> pseudonym_at(std::string_view text);
// Whether more text could make a pseudonym of `text`, which begins with '<'.
bool may_become_pseudonym(std::string_view text);

std::string pseudonym(std::string_view name, std::uint32_t number);

}  // namespace tack::privacy
