#include "base/duration.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <utility>

namespace tack {
namespace {

constexpr std::array<std::pair<std::string_view, std::int64_t>, 5> kUnits = {
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}}};

}  // namespace

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  double number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view unit(rest, text.data() + text.size());
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  for (const auto& [name, factor] : kUnits) {
    if (error != std::errc() || unit != name) continue;
    const double ms = std::round(number * static_cast<double>(factor));
    if (!(ms >= 0 && ms <= 100.0 * 366 * 86'400'000)) break;
    return std::chrono::milliseconds(static_cast<std::int64_t>(ms));
  }
  return fail(ErrorCode::kUsage, "'{}' is no span of time: write 500ms, 10s, 5m, 2h or 30d", text);
}

std::string duration_text(std::chrono::milliseconds duration) {
  const std::int64_t ms = duration.count();
  if (ms == 0) return "0s";
  for (const auto& [name, factor] : kUnits)
    if (ms % factor == 0) return fmt::format("{}{}", ms / factor, name);
  return {};  // not reached: every number of ms is one of the last unit
}

}  // namespace tack
