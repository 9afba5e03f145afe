#include "base/json.h"

#include <algorithm>

namespace tack {
namespace {

constexpr int kMaxDepth = 128;

// The deepest nesting of brackets outside strings: checked before parsing, since the parser
// recurses on destruction.
int nesting(std::string_view text) {
  int depth = 0, deepest = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return deepest;
}

}  // namespace

Result<Json> parse_json(std::string_view text, std::string_view name) {
  if (nesting(text) > kMaxDepth) return fail("{}: JSON nested deeper than {}", name, kMaxDepth);
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    const std::size_t at = std::min<std::size_t>(error.byte > 0 ? error.byte - 1 : 0, text.size());
    const std::string_view before = text.substr(0, at);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const auto column = at - (before.rfind('\n') == before.npos ? 0 : before.rfind('\n') + 1) + 1;
    const bool encoding = std::string_view(error.what()).contains("UTF-8");
    return fail("{}: not valid {} at line {}, column {}", name, encoding ? "UTF-8" : "JSON", line,
                column);
  } catch (const Json::exception& error) {
    return fail("{}: not valid JSON: {}", name, error.what());
  }
}

const Json* find_member(const Json& object, std::string_view name) {
  if (!object.is_object()) return nullptr;
  const auto at = object.find(name);
  return at == object.end() || at->is_null() ? nullptr : &*at;
}

std::string to_text(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace tack
