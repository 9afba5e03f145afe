// Sizes in bytes, as people write them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tack {

// "4200000", "4.2MB" (the same), "1.5GiB" (1.5 * 2^30), in any case and with spaces before the
// unit; to the nearest byte, at least 1. Errors: kUsage.
Result<std::uint64_t> parse_size(std::string_view text);

// What parse_size() reads as the same number: "8MiB", "1500".
std::string size_text(std::uint64_t bytes);

}  // namespace tack
