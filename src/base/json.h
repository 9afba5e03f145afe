// JSON in and out (nlohmann/json behind it): parsing returns an Error with the line and column
// instead of throwing. Not for hot paths: there, simdjson.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace tack {

using Json = nlohmann::ordered_json;

// `name` stands at the front of the error message (a path, "request body").
// Nesting deeper than 128 is refused.
Result<Json> parse_json(std::string_view text, std::string_view name);

// The member of that name; null where `object` is no object, or the member is absent or null.
const Json* find_member(const Json& object, std::string_view name);

// Compact text; invalid UTF-8 in strings is replaced, never thrown.
std::string to_text(const Json& json, int indent = -1);

}  // namespace tack
