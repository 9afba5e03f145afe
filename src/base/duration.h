// Spans of time, as people write them.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tack {

// "500ms", "10s", "1.5m", "2h", "30d"; to the nearest millisecond, at most 100 years. A unit is
// asked for: "10" could mean anything. Errors: kUsage.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);

// In the largest unit that leaves no fraction: "90s", "5m", "0s".
std::string duration_text(std::chrono::milliseconds duration);

}  // namespace tack
