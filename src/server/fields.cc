#include "server/fields.h"

#include <algorithm>
#include <limits>

namespace tack::server {

std::unexpected<ApiError> bad(std::string_view param, std::string message) {
  return std::unexpected(ApiError{400, std::move(message), std::string(param), {}});
}

namespace {

// "\"auto\" or \"default\"" of ["auto", "default"].
std::string alternatives(const Json& values) {
  std::string text;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) text += i + 1 < values.size() ? ", " : " or ";
    text += to_text(values[i]);
  }
  return text;
}

ApiResult<void> check_value(const Field& field, const Json& value, const std::string& param) {
  if (value.is_null()) return {};
  if (field.use == Field::Use::kRefused)
    return std::unexpected(ApiError{400,
                                    fmt::format("'{}' is not supported by local models{}{}", param,
                                                field.about.empty() ? "" : "; ", field.about),
                                    param, "unsupported_parameter"});
  if (field.use != Field::Use::kOnly) return {};
  const Json allowed = Json::parse(field.schema);
  if (std::ranges::find(allowed, value) != allowed.end()) return {};
  return std::unexpected(ApiError{
      400, fmt::format("'{}' can only be {}: {}", param, alternatives(allowed), field.about), param,
      "unsupported_value"});
}

}  // namespace

ApiResult<void> only_members(const Json& object, std::span<const Field> fields,
                             std::string_view prefix) {
  for (const auto& [name, value] : object.items()) {
    const std::string param = std::string(prefix) + name;
    const auto field = std::ranges::find(fields, std::string_view(name), &Field::name);
    if (field == fields.end())
      return std::unexpected(
          ApiError{400, fmt::format("unknown parameter '{}'", param), param, "unknown_parameter"});
    if (auto checked = check_value(*field, value, param); !checked) return checked;
  }
  return {};
}

ApiResult<Json> parse_object(std::string_view body, std::span<const Field> fields) {
  auto object = parse_object(body);
  if (!object) return object;
  if (auto known = only_members(*object, fields); !known) return std::unexpected(known.error());
  return object;
}

ApiResult<Json> parse_object(std::string_view body) {
  auto json = parse_json(body, "request body");
  if (!json) return bad("", json.error().message);
  if (!json->is_object()) return bad("", "request body: must be a JSON object");
  return *std::move(json);
}

const Json* member(const Json& object, std::string_view name) {
  return find_member(object, name);
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
