// Moments as people write and read them. All of UTC: a report says the same on every machine.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tack::store {

// Microseconds since 1970 of "7d" (before `now_us`; m, h, d, w), "2026-11-01",
// "2026-11-01T12:30", "2026-11-01 12:30:15", these also with "Z" or an offset "+02:00". Errors:
// kUsage.
Result<std::int64_t> parse_moment(std::string_view text, std::int64_t now_us);

std::string day_text(std::int64_t time_us);     // "2026-11-01"
std::string moment_text(std::int64_t time_us);  // "2026-11-01 12:30"

}  // namespace tack::store
