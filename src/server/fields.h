// Members of a request's JSON, checked: errors name the member and what it must be.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "server/openai.h"

namespace tack::server {

std::unexpected<ApiError> bad(std::string_view param, std::string message);

ApiResult<Json> parse_object(std::string_view body);

// The member, or null when it is absent or null.
const Json* member(const Json& object, std::string_view name);

// Absent: "", nullopt, false.
ApiResult<std::string> optional_string(const Json& object, std::string_view name);
ApiResult<std::optional<std::int64_t>> optional_count(const Json& object, std::string_view name,
                                                      std::int64_t least = 1);
ApiResult<std::optional<double>> optional_number(const Json& object, std::string_view name);
ApiResult<bool> optional_flag(const Json& object, std::string_view name);

}  // namespace tack::server
