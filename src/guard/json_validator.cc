#include "guard/json_validator.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/ranges.h>
#include <re2/re2.h>

namespace tack::guard {
namespace {

constexpr std::array<std::string_view, 7> kTypes{"object",  "array",   "string", "number",
                                                 "integer", "boolean", "null"};
constexpr std::array<std::string_view, 25> kKeywords{"type",
                                                     "enum",
                                                     "const",
                                                     "anyOf",
                                                     "oneOf",
                                                     "allOf",
                                                     "$ref",
                                                     "properties",
                                                     "required",
                                                     "additionalProperties",
                                                     "items",
                                                     "prefixItems",
                                                     "minItems",
                                                     "maxItems",
                                                     "minLength",
                                                     "maxLength",
                                                     "pattern",
                                                     "format",
                                                     "minimum",
                                                     "maximum",
                                                     "exclusiveMinimum",
                                                     "exclusiveMaximum",
                                                     "not",
                                                     "minProperties",
                                                     "maxProperties"};
constexpr std::array<std::string_view, 13> kAnnotations{
    "title", "description", "default",    "examples", "$schema",   "$id",   "$comment",
    "$defs", "definitions", "deprecated", "readOnly", "writeOnly", "strict"};

// Regular expressions of the formats that are checked; others say nothing.
std::string_view format_pattern(std::string_view format) {
  static const std::map<std::string_view, std::string_view> kPatterns{
      {"date", "^\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])$"},
      {"time", "^([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d+)?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)$"},
      {"date-time",
       "^\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])[Tt]([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\."
       "\\d+"
       ")?([Zz]|[+-]([01]\\d|2[0-3]):[0-5]\\d)$"},
      {"email", "^[^\\s@]+@[^\\s@]+\\.[^\\s@]+$"},
      {"uuid", "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"},
      {"ipv4",
       "^((25[0-5]|2[0-4]\\d|1\\d{2}|[1-9]?\\d)\\.){3}(25[0-5]|2[0-4]\\d|1\\d{2}|[1-9]?\\d)$"}};
  const auto found = kPatterns.find(format);
  return found == kPatterns.end() ? std::string_view() : found->second;
}

bool is_type(const Json& value, std::string_view type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  if (type == "number") return value.is_number();
  return value.is_number_integer() ||
         (value.is_number_float() && std::floor(value.get<double>()) == value.get<double>());
}

std::size_t characters(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

// The types that "type" names.
std::vector<std::string> types_of(const Json& type) {
  if (type.is_string()) return {type.get<std::string>()};
  std::vector<std::string> types;
  for (const Json& one : type)
    if (one.is_string()) types.push_back(one.get<std::string>());
  return types;
}

// Why a keyword's value is not well formed; "" when it is.
std::string why_malformed(const std::string& key, const Json& value) {
  const auto whole = [&] { return value.is_number_unsigned() ? "" : "must be a whole number"; };
  if (key == "type") {
    const std::vector<std::string> types = types_of(value);
    const std::size_t count = value.is_array() ? value.size() : 1;
    const bool known = !types.empty() && types.size() == count &&
                       std::ranges::all_of(types, [](const std::string& t) {
                         return std::ranges::find(kTypes, t) != kTypes.end();
                       });
    return known ? "" : "must be a type or a list of types";
  }
  if (key == "properties") return value.is_object() ? "" : "must be an object";
  if (key == "enum" || key == "anyOf" || key == "oneOf" || key == "allOf" || key == "prefixItems")
    return value.is_array() && (!value.empty() || key == "prefixItems") ? "" : "must be a list";
  if (key == "required")
    return value.is_array() &&
                   std::ranges::all_of(value, [](const Json& one) { return one.is_string(); })
               ? ""
               : "must be a list of names";
  if (key.starts_with("min") && key != "minimum") return whole();
  if (key.starts_with("max") && key != "maximum") return whole();
  if (key.ends_with("imum")) return value.is_number() ? "" : "must be a number";
  if (key == "pattern" || key == "format" || key == "$ref")
    return value.is_string() ? "" : "must be a text";
  return "";
}

}  // namespace

JsonValidator::JsonValidator() = default;
JsonValidator::JsonValidator(JsonValidator&&) noexcept = default;
JsonValidator& JsonValidator::operator=(JsonValidator&&) noexcept = default;
JsonValidator::~JsonValidator() = default;

Result<JsonValidator> JsonValidator::create(Json schema) {
  JsonValidator validator;
  validator.schema_ = std::move(schema);
  TACK_RETURN_IF_ERROR(validator.prepare(validator.schema_, "#", 0));
  return validator;
}

Status JsonValidator::prepare(const Json& schema, const std::string& where, int depth) {
  const auto wrong = [&](std::string_view what) {
    return fail(ErrorCode::kUsage, "schema at {}: {}", where, what);
  };
  if (schema.is_boolean()) return {};
  if (!schema.is_object()) return wrong("must be an object, true or false");
  if (depth > 100) return wrong("is nested too deeply");
  for (const auto& [key, value] : schema.items()) {
    const bool annotation = std::ranges::find(kAnnotations, key) != kAnnotations.end();
    if (!annotation && !key.starts_with("x-") &&
        std::ranges::find(kKeywords, key) == kKeywords.end())
      return wrong(
          fmt::format("'{}' is not supported; known: {}", key, fmt::join(kKeywords, ", ")));
    if (const std::string why = annotation ? "" : why_malformed(key, value); !why.empty())
      return wrong(key + " " + why);
    const std::string below = where + "/" + key;
    if (key == "properties" || key == "$defs" || key == "definitions") {
      if (!value.is_object()) return wrong(key + " must be an object");
      for (const auto& [name, inner] : value.items())
        TACK_RETURN_IF_ERROR(prepare(inner, below + "/" + name, depth + 1));
    } else if (key == "anyOf" || key == "oneOf" || key == "allOf" || key == "prefixItems") {
      for (std::size_t i = 0; i < value.size(); ++i)
        TACK_RETURN_IF_ERROR(prepare(value[i], fmt::format("{}/{}", below, i), depth + 1));
    } else if (key == "items" || key == "additionalProperties" || key == "not") {
      TACK_RETURN_IF_ERROR(prepare(value, below, depth + 1));
    } else if (key == "pattern" || key == "format") {
      const auto text = value.get<std::string>();
      const std::string pattern = key == "pattern" ? text : std::string(format_pattern(text));
      RE2::Options options;
      options.set_log_errors(false);
      auto compiled = std::make_unique<const RE2>(pattern, options);
      if (!compiled->ok()) return wrong(fmt::format("pattern: {}", compiled->error()));
      if (!pattern.empty()) patterns_.try_emplace(pattern, std::move(compiled));
    } else if (key == "$ref") {
      TACK_RETURN_IF_ERROR(prepare_reference(value.get<std::string>(), where, depth));
    }
  }
  return {};
}

Status JsonValidator::prepare_reference(const std::string& target, const std::string& where,
                                        int depth) {
  if (!references_.insert(target).second || target == "#") return {};
  const Json* found = nullptr;
  try {
    if (const Json::json_pointer pointer(target.starts_with('#') ? target.substr(1) : target);
        target.starts_with("#/") && schema_.contains(pointer))
      found = &schema_.at(pointer);
  } catch (const Json::exception&) {
    found = nullptr;
  }
  if (found == nullptr)
    return fail(ErrorCode::kUsage,
                "schema at {}: $ref '{}' leads nowhere; references begin with \"#/\"", where,
                target);
  return prepare(*found, target, depth + 1);
}

// One value checked.
class JsonValidator::Checker {
 public:
  explicit Checker(const JsonValidator& validator) : validator_(validator) {}

  bool tired() const { return steps_ > kMostSteps; }

  // "" or why `value`, which stands at `where`, is none of `schema`.
  std::string check(const Json& schema, const Json& value, const std::string& where, int depth) {
    if (++steps_ > kMostSteps || depth > kDeepest) {
      steps_ = kMostSteps + 1;
      return "too many steps";
    }
    if (schema.is_boolean()) return schema.get<bool>() ? "" : at(where, "is not allowed");
    for (const auto& [key, rule] : schema.items())
      if (std::string why = keyword(schema, key, rule, value, where, depth); !why.empty())
        return why;
    return {};
  }

 private:
  static constexpr std::size_t kMostSteps = 1'000'000;
  static constexpr int kDeepest = 300;

  static std::string at(const std::string& where, std::string_view what) {
    return fmt::format("at {}: {}", where.empty() ? "the top" : where, what);
  }

  std::string keyword(const Json& schema, const std::string& key, const Json& rule,
                      const Json& value, const std::string& where, int depth) {
    if (key == "type") {
      const std::vector<std::string> types = types_of(rule);
      const bool any =
          std::ranges::any_of(types, [&](const std::string& type) { return is_type(value, type); });
      return any ? "" : at(where, fmt::format("must be of type {}", fmt::join(types, " or ")));
    }
    if (key == "enum")
      return std::ranges::find(rule, value) != rule.end() ? "" : at(where, "is none of the values");
    if (key == "const") return rule == value ? "" : at(where, "is not the value it must be");
    if (key == "$ref") {
      const auto target = rule.get<std::string>();
      const Json& other = target == "#"
                              ? validator_.schema_
                              : validator_.schema_.at(Json::json_pointer(target.substr(1)));
      return check(other, value, where, depth + 1);
    }
    if (key == "allOf" || key == "anyOf" || key == "oneOf" || key == "not")
      return alternatives(key, rule, value, where, depth);
    if (value.is_object()) return object(schema, key, rule, value, where, depth);
    if (value.is_array()) return array(schema, key, rule, value, where, depth);
    if (value.is_string()) return text(key, rule, value.get_ref<const std::string&>(), where);
    return value.is_number() ? number(key, rule, value.get<double>(), where) : "";
  }

  std::string alternatives(const std::string& key, const Json& rule, const Json& value,
                           const std::string& where, int depth) {
    if (key == "not")
      return check(rule, value, where, depth + 1).empty() ? at(where, "is what it must not be")
                                                          : "";
    std::size_t right = 0;
    std::string first;
    for (const Json& one : rule) {
      std::string why = check(one, value, where, depth + 1);
      if (tired()) return "too many steps";
      right += why.empty() ? 1 : 0;
      if (key == "allOf" && !why.empty()) return why;
      if (key == "anyOf" && why.empty()) return {};
      if (first.empty()) first = std::move(why);
    }
    if (key == "allOf" || right == 1) return {};
    return right > 1 ? at(where, "is more than one of the alternatives")
                     : at(where, "is none of the alternatives");
  }

  std::string object(const Json& schema, const std::string& key, const Json& rule,
                     const Json& value, const std::string& where, int depth) {
    if (key == "required") {
      for (const Json& name : rule)
        if (!value.contains(name.get<std::string>()))
          return at(where, fmt::format("'{}' is missing", name.get<std::string>()));
    } else if (key == "properties") {
      for (const auto& [name, inner] : rule.items())
        if (const auto member = value.find(name); member != value.end())
          if (std::string why = check(inner, *member, where + "/" + name, depth + 1); !why.empty())
            return why;
    } else if (key == "additionalProperties") {
      const auto known = schema.find("properties");
      for (const auto& [name, member] : value.items()) {
        if (known != schema.end() && known->contains(name)) continue;
        if (rule.is_boolean() && !rule.get<bool>())
          return at(where, "has a member that the schema does not name");
        if (std::string why = check(rule, member, where + "/*", depth + 1); !why.empty())
          return why;
      }
    } else if (key == "minProperties" && value.size() < rule.get<std::size_t>()) {
      return at(where, "has too few members");
    } else if (key == "maxProperties" && value.size() > rule.get<std::size_t>()) {
      return at(where, "has too many members");
    }
    return {};
  }

  std::string array(const Json& schema, const std::string& key, const Json& rule, const Json& value,
                    const std::string& where, int depth) {
    if (key == "minItems" && value.size() < rule.get<std::size_t>())
      return at(where, "has too few items");
    if (key == "maxItems" && value.size() > rule.get<std::size_t>())
      return at(where, "has too many items");
    if (key != "items" && key != "prefixItems") return {};
    const auto prefix = schema.find("prefixItems");
    const std::size_t named = prefix == schema.end() ? 0 : prefix->size();
    for (std::size_t i = 0; i < value.size(); ++i) {
      if ((key == "items") != (i >= named)) continue;
      const Json& inner = key == "items" ? rule : rule[i];
      if (std::string why = check(inner, value[i], fmt::format("{}/{}", where, i), depth + 1);
          !why.empty())
        return why;
    }
    return {};
  }

  std::string text(const std::string& key, const Json& rule, const std::string& value,
                   const std::string& where) const {
    if (key == "minLength" && characters(value) < rule.get<std::size_t>())
      return at(where, "is too short");
    if (key == "maxLength" && characters(value) > rule.get<std::size_t>())
      return at(where, "is too long");
    if (key != "pattern" && key != "format") return {};
    const auto name = rule.get<std::string>();
    const std::string pattern = key == "pattern" ? name : std::string(format_pattern(name));
    const auto found = validator_.patterns_.find(pattern);
    if (found == validator_.patterns_.end() || RE2::PartialMatch(value, *found->second)) return {};
    return at(where, key == "format" ? fmt::format("is no {}", name)
                                     : std::string("does not match the pattern"));
  }

  static std::string number(const std::string& key, const Json& rule, double value,
                            const std::string& where) {
    if (!key.ends_with("imum")) return {};
    const auto limit = rule.get<double>();
    const bool right = key == "minimum"            ? value >= limit
                       : key == "maximum"          ? value <= limit
                       : key == "exclusiveMinimum" ? value > limit
                                                   : value < limit;
    return right ? "" : at(where, fmt::format("is beyond {}", key));
  }

  const JsonValidator& validator_;
  std::size_t steps_ = 0;
};

Result<std::string> JsonValidator::why_not(const Json& value) const {
  Checker checker(*this);
  std::string why = checker.check(schema_, value, "", 0);
  if (checker.tired()) return fail("the schema takes too many steps to check this answer");
  return why;
}

}  // namespace tack::guard
