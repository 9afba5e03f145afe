// Conversations in the shape of OpenAI's API, and the prompts that models want of them.
//
//   TACK_TRY(const std::vector<chat::Message> messages, chat::parse_messages(body["messages"]));
//   TACK_TRY(const Json tools, chat::parse_tools(body["tools"]));
//   TACK_TRY(const std::string prompt, chat::render_chat(template, messages, tools, options));
//
// A prompt has its special tokens written out, the one that begins a text included: encode it with
// special tokens recognised and none added.
#pragma once

#include <ctime>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "text/template.h"
#include "text/tool_calls.h"

namespace tack::chat {

struct Message {
  std::string role;                    // "system", "user", "assistant" or "tool"
  std::optional<std::string> content;  // absent only beside tool calls
  std::string reasoning;               // of an assistant, for templates that show it again
  std::vector<ToolCall> tool_calls;    // of an assistant
  std::string tool_call_id, name;      // of a tool's answer; empty: not given
};

// An array of OpenAI's messages. Content may be a list of parts {"type": "text"}: their texts are
// joined with newlines. The role "developer" becomes "system"; keys we do not know are ignored.
// Errors are kUsage and say where: "messages[2].content[0]: images are not supported".
Result<std::vector<Message>> parse_messages(const Json& messages);

// OpenAI's "tools", checked: an array of {"type": "function", "function": {"name", ...}}, or null
// or empty for none, which comes back as null.
Result<Json> parse_tools(const Json& tools);

struct Options {
  bool add_generation_prompt = true;
  std::string bos_token, eos_token;  // as text
  std::string date_string;           // for templates that take one (Llama 3.x); empty: their choice
  Json variables = Json::object();   // further ones ("enable_thinking"); never in place of ours
  std::time_t now = std::time(nullptr);  // of strftime_now
};

// The prompt, with the variables that transformers' apply_chat_template gives. `tools`: from
// parse_tools.
//
// A template that never reads `tools` (Gemma 3) would lose them: they go into the system message,
// with calls and their results as text of assistant and user, in the format ToolFormat::kJson.
// Where a template fails on a missing content (Ministral 3), it is given an empty one.
//
// Errors are the template's: what it raises itself ("roles must alternate") is kUsage.
Result<std::string> render_chat(const Template& chat_template, std::span<const Message> messages,
                                const Json& tools, const Options& options);

// For model files without a template.
enum class Family : std::uint8_t { kLlama3, kGemma, kMistral, kMinistral, kChatml };

// By the special tokens that the vocabulary has, the first of: <|im_start|> chatml,
// <|start_header_id|> llama3, <start_of_turn> gemma, [SYSTEM_PROMPT] ministral, [INST] mistral.
// Without any of them by general.architecture: gemma3 and mistral3 (ministral3), else chatml, as
// text. Tokens come first since many models, ChatML's among them, are of the architecture llama.
Family family_of(std::string_view architecture,
                 const std::function<bool(std::string_view token)>& has_token);

// Written for this program. Their prompts are those of the published templates of Llama 3.2,
// Gemma 3, Mistral Nemo, Ministral 3 and Qwen 2.5, without these models' default system messages.
std::string_view built_in_template(Family family);

}  // namespace tack::chat
