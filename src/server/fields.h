// Members of a request's JSON, checked: errors name the member and what it must be.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/json.h"
#include "server/openai.h"

namespace tack::server {

std::unexpected<ApiError> bad(std::string_view param, std::string message);

// A member that an endpoint knows: how requests are held to it, and what /openapi.json says of it.
struct Field {
  enum class Use : std::uint8_t {
    kRead,     // means something here
    kHint,     // changes no answer of a local model: taken and ignored
    kOnly,     // would change the answer: only the values of `schema` will do (and null)
    kRefused,  // would change the answer: only null will do
  };
  std::string_view name;
  std::string_view schema;  // JSON Schema as text; of kOnly: an array of values; of kRefused: ""
  std::string_view about;   // one sentence; of kRefused what to do instead, or ""
  Use use = Use::kRead;
  bool required = false;  // said in /openapi.json; parsers say what is missing in their own words
};

// Refuses members that are not in the table (400, code "unknown_parameter") and those that are not
// supported ("unsupported_parameter", "unsupported_value"), naming the first of them as `param`,
// with `prefix` ("questions[0].") in front. `object` is an object. For requests that a local model
// answers: what goes to an upstream is its provider's to check.
ApiResult<void> only_members(const Json& object, std::span<const Field> fields,
                             std::string_view prefix = "");

// Errors: no JSON, no UTF-8, nested too deep, no object.
ApiResult<Json> parse_object(std::string_view body);
// And only members of the table.
ApiResult<Json> parse_object(std::string_view body, std::span<const Field> fields);

// The member, or null when it is absent or null.
const Json* member(const Json& object, std::string_view name);

// Absent: "", nullopt, false.
ApiResult<std::string> optional_string(const Json& object, std::string_view name);
ApiResult<std::optional<std::int64_t>> optional_count(const Json& object, std::string_view name,
                                                      std::int64_t least = 1);
ApiResult<std::optional<double>> optional_number(const Json& object, std::string_view name);
ApiResult<bool> optional_flag(const Json& object, std::string_view name);

}  // namespace tack::server
