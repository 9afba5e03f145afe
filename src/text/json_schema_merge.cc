#include "text/json_schema_merge.h"

#include <algorithm>

namespace tack {
namespace {

constexpr int kDeepestMerge = 32, kMostParts = 5000;

template <class... Args>
std::unexpected<Error> error(const std::string& where, fmt::format_string<Args...> format,
                             Args&&... args) {
  return fail(ErrorCode::kUsage, "schema at {}: {}", where,
              fmt::format(format, std::forward<Args>(args)...));
}

bool one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::ranges::find(words, word) != words.end();
}

class Merger {
 public:
  Merger(const Json& root, const std::string& where) : root_(root), where_(where) {}

  // The schema without $ref and allOf at its top.
  Result<Json> flat(const Json& schema, int depth) {
    if (depth > kDeepestMerge)
      return error(where_, "references and 'allOf' nested deeper than {}, or going in a circle",
                   kDeepestMerge);
    if (++parts_ > kMostParts) return error(where_, "'allOf' of more than {} parts", kMostParts);
    if (schema.is_boolean()) {
      if (!schema.get<bool>()) return error(where_, "false allows nothing");
      return Json(Json::object());
    }
    if (!schema.is_object()) return error(where_, "a schema is an object, true or false");
    Json out = without(schema, {"$ref", "allOf"});
    if (schema.contains("$ref")) {
      TACK_TRY(const Json* target, resolve_reference(root_, schema, where_));
      TACK_TRY(const Json part, flat(*target, depth + 1));
      TACK_TRY(out, both(out, part));
    }
    if (!schema.contains("allOf")) return out;
    const Json& list = schema["allOf"];
    if (!list.is_array() || list.empty()) return error(where_, "'allOf' must be a list of schemas");
    for (const Json& item : list) {
      TACK_TRY(const Json part, flat(item, depth + 1));
      TACK_TRY(out, both(out, part));
    }
    return out;
  }

 private:
  Result<Json> both(const Json& a, const Json& b) {
    TACK_RETURN_IF_ERROR(check_additional(a, b));
    TACK_RETURN_IF_ERROR(check_additional(b, a));
    Json out = a;
    for (const auto& [word, value] : b.items()) {
      if (!out.contains(word)) {
        out[word] = value;
        continue;
      }
      if (is_annotation(word) || out[word] == value) continue;
      TACK_TRY(out[word], one(word, out[word], value));
    }
    return out;
  }

  // `additionalProperties` of one part speaks of the properties that this part does not name.
  Status check_additional(const Json& a, const Json& b) {
    if (!a.contains("additionalProperties") || a["additionalProperties"] == Json(true)) return {};
    if (!b.contains("properties") || !b["properties"].is_object()) return {};
    for (const auto& [name, unused] : b["properties"].items())
      if (!a.contains("properties") || !a["properties"].is_object() ||
          !a["properties"].contains(name))
        return error(
            where_,
            "'additionalProperties' of one part of 'allOf' (or beside '$ref' or 'anyOf') does "
            "not know property '{}' of another",
            name);
    return {};
  }

  Result<Json> one(const std::string& word, const Json& a, const Json& b) {
    if (word == "properties") return properties(a, b);
    if (word == "required" || word == "enum") {
      if (!a.is_array() || !b.is_array()) return error(where_, "'{}' must be a list", word);
      Json out = Json::array();
      const bool united = word == "required";
      for (const Json& item : a)
        if (united || std::ranges::find(b, item) != b.end()) out.push_back(item);
      if (united)
        for (const Json& item : b)
          if (std::ranges::find(out, item) == out.end()) out.push_back(item);
      return out;
    }
    if (word == "type") return types(a, b);
    if (word == "additionalProperties") {
      if (a == Json(true)) return b;
      if (b == Json(true)) return a;
    }
    const bool lower = one_of(word, {"minimum", "exclusiveMinimum", "minLength", "minItems"});
    const bool upper = one_of(word, {"maximum", "exclusiveMaximum", "maxLength", "maxItems"});
    if ((lower || upper) && a.is_number() && b.is_number())
      return (a.get<double>() < b.get<double>()) == upper ? a : b;
    return error(where_, "two parts say different things of '{}', which cannot be merged", word);
  }

  Result<Json> properties(const Json& a, const Json& b) {
    if (!a.is_object() || !b.is_object()) return error(where_, "'properties' must be an object");
    Json out = a;
    for (const auto& [name, value] : b.items()) {
      if (!out.contains(name) || out[name] == value) {
        out[name] = value;
        continue;
      }
      Json all = Json::object();
      all["allOf"] = Json::array({out[name], value});
      out[name] = std::move(all);
    }
    return out;
  }

  Result<Json> types(const Json& a, const Json& b) {
    TACK_TRY(const auto first, type_list(a, where_));
    TACK_TRY(const auto second, type_list(b, where_));
    Json out = Json::array();
    for (const std::string& type : first)
      if (second.contains(type) || (type == "integer" && second.contains("number")))
        out.push_back(type);
    if (first.contains("number") && second.contains("integer") && !first.contains("integer"))
      out.push_back("integer");
    if (out.empty()) return error(where_, "no type is in all parts");
    return out;
  }

  const Json& root_;
  const std::string& where_;
  int parts_ = 0;
};

}  // namespace

bool is_annotation(std::string_view keyword) {
  return keyword.starts_with("x-") ||
         one_of(keyword,
                {"title", "description", "default", "examples", "example", "$schema", "$id",
                 "$comment", "$defs", "definitions", "deprecated", "readOnly", "writeOnly"});
}

bool only_annotations_beside(const Json& schema, std::string_view keyword) {
  for (const auto& [word, unused] : schema.items())
    if (word != keyword && !is_annotation(word)) return false;
  return true;
}

Json without(const Json& schema, std::initializer_list<std::string_view> keywords) {
  Json out = Json::object();
  for (const auto& [word, value] : schema.items())
    if (!one_of(word, keywords) && !is_annotation(word)) out[word] = value;
  return out;
}

Result<std::set<std::string>> type_list(const Json& type, const std::string& where) {
  std::set<std::string> out;
  const Json list = type.is_array() ? type : Json::array({type});
  for (const Json& item : list) {
    const std::string name = item.is_string() ? item.get<std::string>() : std::string();
    if (!one_of(name, {"object", "array", "string", "number", "integer", "boolean", "null"}))
      return error(where,
                   "'type' {} is not one of object, array, string, number, integer, boolean, null",
                   to_text(item));
    out.insert(name);
  }
  if (out.empty()) return error(where, "'type' is an empty list");
  return out;
}

bool is_of_type(const Json& value, const std::set<std::string>& types) {
  if (value.is_object()) return types.contains("object");
  if (value.is_array()) return types.contains("array");
  if (value.is_string()) return types.contains("string");
  if (value.is_boolean()) return types.contains("boolean");
  if (value.is_null()) return types.contains("null");
  if (types.contains("number")) return true;
  return types.contains("integer") && value.is_number_integer();
}

Result<const Json*> resolve_reference(const Json& root, const Json& schema,
                                      const std::string& where) {
  const Json& reference = schema["$ref"];
  if (!reference.is_string()) return error(where, "'$ref' must be a string");
  const std::string name = reference.get<std::string>();
  if (name == "#") return &root;
  if (!name.starts_with("#/"))
    return error(where, "'$ref' {} is not supported: only \"#\" and \"#/...\" are", name);
  // RFC 6901, step by step.
  const Json* at = &root;
  for (std::size_t begin = 2; begin <= name.size();) {
    const std::size_t end = std::min(name.find('/', begin), name.size());
    std::string step;
    for (std::size_t i = begin; i < end; ++i) {
      if (name[i] == '~' && i + 1 < end && (name[i + 1] == '0' || name[i + 1] == '1'))
        step += name[++i] == '0' ? '~' : '/';
      else
        step += name[i];
    }
    const Json* next = nullptr;
    if (at->is_object()) {
      const auto found = at->find(step);
      if (found != at->end()) next = &*found;
    } else if (at->is_array() && !step.empty() && step.size() < 8 &&
               std::ranges::all_of(step, [](char c) { return c >= '0' && c <= '9'; })) {
      const auto index = static_cast<std::size_t>(std::stoul(step));
      if (index < at->size()) next = &(*at)[index];
    }
    if (next == nullptr) return error(where, "'$ref' {} points at nothing", name);
    at = next;
    begin = end + 1;
  }
  return at;
}

Result<Json> merge_all_of(const Json& root, const Json& schema, const std::string& where) {
  return Merger(root, where).flat(schema, 0);
}

}  // namespace tack
