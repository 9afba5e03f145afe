#include "server/fields.h"

#include <limits>

namespace tack::server {

std::unexpected<ApiError> bad(std::string_view param, std::string message) {
  return std::unexpected(ApiError{400, std::move(message), std::string(param), {}});
}

ApiResult<Json> parse_object(std::string_view body) {
  auto json = parse_json(body, "request body");
  if (!json) return bad("", json.error().message);
  if (!json->is_object()) return bad("", "request body: must be a JSON object");
  return *std::move(json);
}

const Json* member(const Json& object, std::string_view name) {
  const auto at = object.find(name);
  return at == object.end() || at->is_null() ? nullptr : &*at;
}

ApiResult<std::string> optional_string(const Json& object, std::string_view name) {
  const Json* value = member(object, name);
  if (!value) return std::string();
  if (!value->is_string()) return bad(name, fmt::format("'{}' must be a string", name));
  return value->get<std::string>();
}

ApiResult<std::optional<std::int64_t>> optional_count(const Json& object, std::string_view name,
                                                      std::int64_t least) {
  const Json* value = member(object, name);
  if (!value) return std::nullopt;
  const bool whole = value->is_number_integer() &&
                     !(value->is_number_unsigned() &&
                       value->get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max());
  if (!whole || value->get<std::int64_t>() < least)
    return bad(name, fmt::format("'{}' must be a whole number from {} up", name, least));
  return value->get<std::int64_t>();
}

ApiResult<std::optional<double>> optional_number(const Json& object, std::string_view name) {
  const Json* value = member(object, name);
  if (!value) return std::nullopt;
  if (!value->is_number()) return bad(name, fmt::format("'{}' must be a number", name));
  return value->get<double>();
}

ApiResult<bool> optional_flag(const Json& object, std::string_view name) {
  const Json* value = member(object, name);
  if (!value) return false;
  if (!value->is_boolean()) return bad(name, fmt::format("'{}' must be true or false", name));
  return value->get<bool>();
}

}  // namespace tack::server
