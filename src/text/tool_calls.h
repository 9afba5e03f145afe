// What models write when they call tools, read back.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace tack::chat {

struct ToolCall {
  std::string id;  // empty: none was written
  std::string name;
  Json arguments = Json::object();  // always an object
};

// As OpenAI's API has it: {"id", "type": "function", "function": {"name", "arguments": "{...}"}}.
Json to_json(const ToolCall& call);
// Nine letters and digits, which is what Mistral's templates take: an id for calls without one.
std::string make_call_id(std::uint64_t random);

enum class ToolFormat : std::uint8_t {
  // Gemma 3, and whatever has no format of its own (chat.h asks for it in the system message):
  // {"name": ..., "parameters": {...}} or a list of them, either the whole reply or in a fence
  // ```tool_code, ```tool_call or ```json. "arguments" is as good as "parameters", everywhere.
  kJson,
  // Llama 3.x: such an object as the whole reply, or after <|python_tag|>; several with ";"
  // between them.
  kLlama3,
  // Mistral: [TOOL_CALLS][{"name": ..., "arguments": {...}}, ...], and since 2025
  // [TOOL_CALLS]name[CALL_ID]id[ARGS]{...}, where [CALL_ID]id may be missing.
  kMistral,
  // Hermes, Qwen: <tool_call>{"name": ..., "arguments": {...}}</tool_call>, any number.
  kHermes,
};

// The format that a chat template teaches its model, by the markers in its source.
ToolFormat tool_format(std::string_view template_source);

struct Reply {
  std::string text;  // around the calls; empty when that is only white space
  std::vector<ToolCall> calls;
};

// `reply` has the special tokens that mark calls spelled out ([TOOL_CALLS], <|python_tag|>), and
// none that ends a turn. Nothing is guessed: when one call cannot be read, or its arguments are no
// JSON object, the whole reply is text.
Reply parse_reply(std::string_view reply, ToolFormat format);

// Whether a reply that begins so must be held back: what it ends with may belong to a call. When
// false, parse_reply's text of any reply that goes on from here begins with `so_far`.
bool may_be_tool_call(std::string_view so_far, ToolFormat format);

}  // namespace tack::chat
