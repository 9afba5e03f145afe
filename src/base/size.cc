#include "base/size.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <string>

namespace tack {

Result<std::uint64_t> parse_size(std::string_view text) {
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  std::string unit(rest, end);
  std::erase(unit, ' ');
  std::ranges::transform(unit, unit.begin(), [](unsigned char c) { return std::tolower(c); });
  double factor = 1;
  constexpr std::string_view kPrefixes = "kmgtpe";
  if (const std::size_t power = unit.empty() ? kPrefixes.npos : kPrefixes.find(unit[0]);
      power != kPrefixes.npos) {
    const bool binary = unit.size() > 1 && unit[1] == 'i';
    factor = std::pow(binary ? 1024.0 : 1000.0, static_cast<double>(power + 1));
    unit.erase(0, binary ? 2 : 1);
  }
  const double bytes = std::round(number * factor);
  if (error != std::errc() || !(unit.empty() || unit == "b") || !(bytes >= 1 && bytes <= 1e18))
    return fail(ErrorCode::kUsage, "'{}' is no size: write 4.2MB, 4200000 or 1.5GiB", text);
  return static_cast<std::uint64_t>(bytes);
}

std::string size_text(std::uint64_t bytes) {
  std::size_t power = 0;
  for (; power < 4 && bytes > 0 && bytes % 1024 == 0; ++power) bytes /= 1024;
  constexpr std::string_view kUnits[] = {"", "KiB", "MiB", "GiB", "TiB"};
  return fmt::format("{}{}", bytes, kUnits[power]);
}

}  // namespace tack
