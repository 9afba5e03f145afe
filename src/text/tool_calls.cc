#include "text/tool_calls.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>

namespace tack::chat {
namespace {

constexpr std::string_view kPythonTag = "<|python_tag|>";
constexpr std::string_view kToolCalls = "[TOOL_CALLS]", kCallId = "[CALL_ID]", kArgs = "[ARGS]";
constexpr std::string_view kOpen = "<tool_call>", kClose = "</tool_call>";
constexpr std::string_view kFence = "```";
constexpr std::array<std::string_view, 3> kFenceNames = {"tool_code", "tool_call", "json"};

std::string_view without_blank(std::string_view s) {
  constexpr std::string_view kBlank = " \t\r\n";
  s.remove_prefix(std::min(s.find_first_not_of(kBlank), s.size()));
  return s.substr(0, s.find_last_not_of(kBlank) + 1);
}

// The object or array that `s` begins with, cut off it; nothing when there is none.
std::optional<Json> take_json(std::string_view& s) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < s.size(); ++i) {
    const char c = s[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (depth > 0) continue;
    auto json = parse_json(s.substr(0, i + 1), "tool call");
    if (!json || !(json->is_object() || json->is_array())) return std::nullopt;
    s.remove_prefix(i + 1);
    return std::move(*json);
  }
  return std::nullopt;
}
void skip_blank(std::string_view& s) {
  s.remove_prefix(std::min(s.find_first_not_of(" \t\r\n"), s.size()));
}
bool skip(std::string_view& s, std::string_view what) {
  const bool yes = s.starts_with(what);
  if (yes) s.remove_prefix(what.size());
  return yes;
}

using Calls = std::vector<ToolCall>;

std::optional<ToolCall> call_of(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  const auto name = json.find("name"), id = json.find("id");
  auto arguments = json.find("parameters");
  if (arguments == json.end()) arguments = json.find("arguments");
  if (name == json.end() || !name->is_string() || *name == "") return std::nullopt;
  if (arguments == json.end() || !arguments->is_object()) return std::nullopt;
  ToolCall call{"", name->get<std::string>(), *arguments};
  if (id != json.end() && id->is_string()) call.id = id->get<std::string>();
  return call;
}

// One call or a list of them, appended.
bool add_calls(const Json& json, Calls& calls) {
  if (json.is_object()) {
    auto call = call_of(json);
    if (call) calls.push_back(std::move(*call));
    return call.has_value();
  }
  return !json.empty() && std::ranges::all_of(json, [&](const Json& one) {
    return one.is_object() && add_calls(one, calls);
  });
}

// {...}; {...}, to the end.
bool read_llama3(std::string_view s, Calls& calls) {
  s = without_blank(s);
  do {
    skip_blank(s);
    const auto json = take_json(s);
    if (!json || !add_calls(*json, calls)) return false;
    skip_blank(s);
  } while (skip(s, ";") && !without_blank(s).empty());
  return s.empty();
}

// Behind [TOOL_CALLS]: a list, or name[CALL_ID]id[ARGS]{...}.
bool read_mistral_calls(std::string_view& s, Calls& calls) {
  skip_blank(s);
  if (s.starts_with('[')) {
    const auto json = take_json(s);
    return json && json->is_array() && add_calls(*json, calls);
  }
  const std::size_t end = std::min(s.find(kCallId), s.find(kArgs));
  if (end == s.npos) return false;
  ToolCall call;
  call.name = without_blank(s.substr(0, end));
  s.remove_prefix(end);
  if (skip(s, kCallId)) {
    const std::size_t args = s.find(kArgs);
    if (args == s.npos) return false;
    call.id = without_blank(s.substr(0, args));
    s.remove_prefix(args);
  }
  skip(s, kArgs);
  skip_blank(s);
  auto json = take_json(s);
  if (call.name.empty() || !json || !json->is_object()) return false;
  call.arguments = std::move(*json);
  calls.push_back(std::move(call));
  return true;
}
bool read_mistral(std::string_view s, Calls& calls) {
  do {
    if (!read_mistral_calls(s, calls)) return false;
    skip_blank(s);
  } while (skip(s, kToolCalls));
  return s.empty();
}

// Behind a first <tool_call>; what stands between and after the calls goes to `text`. The last
// one may lack its end.
bool read_hermes(std::string_view s, Calls& calls, std::string& text) {
  for (;;) {
    skip_blank(s);
    const auto json = take_json(s);
    if (!json || !json->is_object() || !add_calls(*json, calls)) return false;
    skip_blank(s);
    if (s.empty()) return true;
    if (!skip(s, kClose)) return false;
    const std::size_t next = s.find(kOpen);
    const std::string_view between = s.substr(0, next);
    if (!without_blank(between).empty()) text += between;
    if (next == s.npos) return true;
    s.remove_prefix(next + kOpen.size());
  }
}

// Where a fence begins that may hold calls, its name complete or not yet; npos: nowhere.
std::size_t fence(std::string_view s) {
  for (std::size_t at = s.find(kFence); at != s.npos; at = s.find(kFence, at + kFence.size())) {
    const std::string_view rest = s.substr(at + kFence.size());
    const std::size_t line = rest.find('\n');
    const std::string_view name = rest.substr(0, line);
    for (std::string_view known : kFenceNames)
      if (line == rest.npos ? known.starts_with(without_blank(name)) : known == without_blank(name))
        return at;
  }
  return s.npos;
}
bool read_fence(std::string_view s, Calls& calls, std::string& text) {
  const std::size_t line = s.find('\n');
  if (line == s.npos) return false;
  s.remove_prefix(line);
  skip_blank(s);
  const auto json = take_json(s);
  if (!json || !add_calls(*json, calls)) return false;
  skip_blank(s);
  if (!skip(s, kFence)) return false;
  if (!without_blank(s).empty()) text += s;
  return true;
}

bool begins_json(std::string_view s, ToolFormat format) {
  s = without_blank(s);
  return s.empty() || s.front() == '{' || (format == ToolFormat::kJson && s.front() == '[');
}

std::string_view marker(ToolFormat format) {
  switch (format) {
    case ToolFormat::kLlama3:
      return kPythonTag;
    case ToolFormat::kMistral:
      return kToolCalls;
    case ToolFormat::kHermes:
      return kOpen;
    case ToolFormat::kJson:
      break;
  }
  return kFence;
}

// Reads calls from `at` on, where the marker stands; `text` gets what follows them.
bool read(std::string_view reply, std::size_t at, ToolFormat format, Calls& calls,
          std::string& text) {
  const std::string_view rest = reply.substr(at + marker(format).size());
  switch (format) {
    case ToolFormat::kLlama3:
      return read_llama3(rest, calls);
    case ToolFormat::kMistral:
      return read_mistral(rest, calls);
    case ToolFormat::kHermes:
      return read_hermes(rest, calls, text);
    case ToolFormat::kJson:
      return read_fence(rest, calls, text);
  }
  return false;
}

bool bare(ToolFormat format) {
  return format == ToolFormat::kLlama3 || format == ToolFormat::kJson;
}

}  // namespace

Json to_json(const ToolCall& call) {
  return {{"id", call.id},
          {"type", "function"},
          {"function", {{"name", call.name}, {"arguments", to_text(call.arguments)}}}};
}

std::string make_call_id(std::uint64_t random) {
  constexpr std::string_view kLetters =
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  std::string out;
  for (int i = 0; i < 9; ++i, random /= kLetters.size()) out += kLetters[random % kLetters.size()];
  return out;
}

ToolFormat tool_format(std::string_view source) {
  if (source.contains(kOpen)) return ToolFormat::kHermes;
  if (source.contains(kToolCalls)) return ToolFormat::kMistral;
  if (source.contains(kPythonTag) || source.contains("<|start_header_id|>"))
    return ToolFormat::kLlama3;
  return ToolFormat::kJson;
}

Reply parse_reply(std::string_view reply, ToolFormat format) {
  Reply out;
  if (bare(format) && begins_json(reply, format) && read_llama3(reply, out.calls)) return out;
  out.calls.clear();
  const std::size_t at = format == ToolFormat::kJson ? fence(reply) : reply.find(marker(format));
  if (at != reply.npos) {
    const std::string_view before = reply.substr(0, at);
    if (!without_blank(before).empty()) out.text = before;
    if (read(reply, at, format, out.calls, out.text)) return out;
  }
  return {std::string(reply), {}};
}

bool may_be_tool_call(std::string_view so_far, ToolFormat format) {
  if (without_blank(so_far).empty()) return true;
  if (bare(format) && begins_json(so_far, format)) return true;
  const std::string_view begin = marker(format);
  for (std::size_t n = std::min(begin.size() - 1, so_far.size()); n > 0; --n)
    if (so_far.ends_with(begin.substr(0, n))) return true;
  return format == ToolFormat::kJson ? fence(so_far) != so_far.npos : so_far.contains(begin);
}

}  // namespace tack::chat
