#include "text/chat.h"

#include <algorithm>
#include <array>

namespace tack::chat {
namespace {

template <class... Args>
std::unexpected<Error> wrong(fmt::format_string<Args...> format, Args&&... args) {
  return fail(ErrorCode::kUsage, format, std::forward<Args>(args)...);
}

// `object[key]`; null when it is absent or null.
// A string, or "" when there is none.
Result<std::string> optional_text(const Json& object, const char* key, std::string_view where) {
  const Json* v = find_member(object, key);
  if (!v) return std::string();
  if (!v->is_string()) return wrong("{}.{}: must be a string", where, key);
  return v->get<std::string>();
}
Result<std::string> needed_text(const Json& object, const char* key, std::string_view where) {
  TACK_TRY(std::string text, optional_text(object, key, where));
  if (text.empty()) return wrong("{}.{}: is missing", where, key);
  return text;
}

Result<std::string> part_text(const Json& part, const std::string& where) {
  if (!part.is_object()) return wrong("{}: must be an object", where);
  TACK_TRY(const std::string type, needed_text(part, "type", where));
  if (type.find("image") != type.npos) return wrong("{}: images are not supported", where);
  if (type != "text") return wrong("{}: the type '{}' is not supported, only text", where, type);
  const Json* text = find_member(part, "text");
  if (!text || !text->is_string()) return wrong("{}.text: must be a string", where);
  return text->get<std::string>();
}

Result<std::optional<std::string>> content_of(const Json& message, const std::string& where) {
  const Json* content = find_member(message, "content");
  if (!content) return std::nullopt;
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) return wrong("{}: must be a string or a list of parts", where);
  std::string joined;
  for (std::size_t i = 0; i < content->size(); ++i) {
    TACK_TRY(const std::string text, part_text((*content)[i], fmt::format("{}[{}]", where, i)));
    if (i > 0) joined += '\n';
    joined += text;
  }
  return joined;
}

// {"id", "type": "function", "function": {"name", "arguments": "{...}"}}; arguments may be the
// object itself.
Result<ToolCall> call_of(const Json& json, const std::string& where) {
  if (!json.is_object()) return wrong("{}: must be an object", where);
  const Json* function = find_member(json, "function");
  if (!function || !function->is_object()) return wrong("{}.function: must be an object", where);
  ToolCall call;
  TACK_TRY(call.id, optional_text(json, "id", where));
  TACK_TRY(call.name, needed_text(*function, "name", where + ".function"));
  const Json* arguments = find_member(*function, "arguments");
  if (arguments && arguments->is_object()) call.arguments = *arguments;
  if (arguments && arguments->is_string() && *arguments != "") {
    const std::string place = where + ".function.arguments";
    auto parsed = parse_json(arguments->get_ref<const std::string&>(), place);
    if (!parsed) return wrong("{}", parsed.error().message);
    call.arguments = std::move(*parsed);
  }
  const bool none = !arguments || *arguments == "";
  if (!none && (!(arguments->is_object() || arguments->is_string()) || !call.arguments.is_object()))
    return wrong("{}.function.arguments: must be a JSON object, as text", where);
  return call;
}

Result<Message> message_of(const Json& json, const std::string& where) {
  if (!json.is_object()) return wrong("{}: must be an object", where);
  Message message;
  TACK_TRY(message.role, needed_text(json, "role", where));
  if (message.role == "developer") message.role = "system";
  static constexpr std::array kRoles = {"system", "user", "assistant", "tool"};
  if (std::ranges::find(kRoles, message.role) == kRoles.end())
    return wrong("{}.role: '{}' is none of system, developer, user, assistant, tool", where,
                 message.role);
  TACK_TRY(message.content, content_of(json, where + ".content"));
  if (message.role == "assistant") {
    TACK_TRY(message.reasoning, optional_text(json, "reasoning_content", where));
    const Json none = Json::array(), *calls = find_member(json, "tool_calls");
    if (!calls) calls = &none;
    if (!calls->is_array()) return wrong("{}.tool_calls: must be a list", where);
    for (std::size_t i = 0; i < calls->size(); ++i) {
      TACK_TRY(ToolCall call, call_of((*calls)[i], fmt::format("{}.tool_calls[{}]", where, i)));
      message.tool_calls.push_back(std::move(call));
    }
  }
  if (message.role == "tool") {
    TACK_TRY(message.tool_call_id, optional_text(json, "tool_call_id", where));
    TACK_TRY(message.name, optional_text(json, "name", where));
  }
  if (!message.content && message.tool_calls.empty()) return wrong("{}.content: is missing", where);
  return message;
}

// As transformers gets it: no key that was not given, arguments as an object.
Json variable_of(const Message& message, bool null_content) {
  Json out = {{"role", message.role}};
  if (message.content || !null_content)
    out["content"] = message.content.value_or("");
  else
    out["content"] = nullptr;
  if (!message.reasoning.empty()) out["reasoning_content"] = message.reasoning;
  if (!message.tool_call_id.empty()) out["tool_call_id"] = message.tool_call_id;
  if (!message.name.empty()) out["name"] = message.name;
  for (const ToolCall& call : message.tool_calls) {
    Json one = Json::object();
    if (!call.id.empty()) one["id"] = call.id;
    one["type"] = "function";
    one["function"] = {{"name", call.name}, {"arguments", call.arguments}};
    out["tool_calls"].push_back(std::move(one));
  }
  return out;
}

Result<std::string> rendered(const Template& chat_template, std::span<const Message> messages,
                             const Json& tools, const Options& options, bool null_content) {
  Json variables = options.variables;
  if (!variables.is_object()) return wrong("the variables of a chat template must be an object");
  if (!options.date_string.empty()) variables["date_string"] = options.date_string;
  variables["messages"] = Json::array();
  for (const Message& message : messages)
    variables["messages"].push_back(variable_of(message, null_content));
  variables["tools"] = tools;
  variables["documents"] = nullptr;
  variables["add_generation_prompt"] = options.add_generation_prompt;
  variables["bos_token"] = options.bos_token;
  variables["eos_token"] = options.eos_token;
  return chat_template.render(variables, options.now);
}

std::string instructions(const Json& tools) {
  return "You have access to functions. If you decide to invoke any of the functions, you MUST put "
         "it in the format of\n"
         "{\"name\": function name, \"parameters\": dictionary of argument name and its value}\n"
         "or, for several, a list of these. You SHOULD NOT include any other text in the response "
         "if you call a function.\n\n" +
         to_text(tools, 2);
}

std::string calls_as_text(std::span<const ToolCall> calls) {
  Json list = Json::array();
  for (const ToolCall& call : calls)
    list.push_back({{"name", call.name}, {"parameters", call.arguments}});
  return to_text(list.size() == 1 ? list[0] : list);
}

// The same conversation for a template that knows nothing of tools. Results become a user's turn,
// several of them one, together with what the user says next: turns still alternate.
std::vector<Message> without_tools(std::span<const Message> messages, const Json& tools) {
  std::vector<Message> out;
  if (!tools.is_null() && (messages.empty() || messages[0].role != "system"))
    out.push_back({"system", instructions(tools)});
  bool after_result = false;
  for (const Message& message : messages) {
    const bool result = message.role == "tool";
    std::string text = message.content.value_or("");
    if (result) text = "```tool_output\n" + text + "\n```";
    if (!message.tool_calls.empty())
      text += (text.empty() ? "" : "\n") + calls_as_text(message.tool_calls);
    if (out.empty() && message.role == "system" && !tools.is_null())
      text += (text.empty() ? "" : "\n\n") + instructions(tools);
    const std::string& role = result ? "user" : message.role;
    if (after_result && role == "user")
      *out.back().content += "\n" + text;
    else
      out.push_back({role, std::move(text), message.reasoning});
    after_result = result || (after_result && role == "user");
  }
  return out;
}

}  // namespace

Result<std::vector<Message>> parse_messages(const Json& messages) {
  if (!messages.is_array()) return wrong("messages: must be a list");
  if (messages.empty()) return wrong("messages: is empty");
  std::vector<Message> out;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    TACK_TRY(Message message, message_of(messages[i], fmt::format("messages[{}]", i)));
    out.push_back(std::move(message));
  }
  return out;
}

Result<Json> parse_tools(const Json& tools) {
  if (tools.is_null() || (tools.is_array() && tools.empty())) return Json();
  if (!tools.is_array()) return wrong("tools: must be a list");
  for (std::size_t i = 0; i < tools.size(); ++i) {
    const std::string where = fmt::format("tools[{}]", i);
    if (!tools[i].is_object()) return wrong("{}: must be an object", where);
    TACK_TRY(const std::string type, needed_text(tools[i], "type", where));
    if (type != "function")
      return wrong("{}.type: '{}' is not supported, only function", where, type);
    const Json* function = find_member(tools[i], "function");
    if (!function || !function->is_object()) return wrong("{}.function: must be an object", where);
    TACK_RETURN_IF_ERROR(needed_text(*function, "name", where + ".function"));
    const Json* parameters = find_member(*function, "parameters");
    if (parameters && !parameters->is_object())
      return wrong("{}.function.parameters: must be an object", where);
  }
  return tools;
}

Result<std::string> render_chat(const Template& chat_template, std::span<const Message> messages,
                                const Json& tools, const Options& options) {
  if (!chat_template.reads("tools")) {
    const std::vector<Message> plain = without_tools(messages, tools);
    return rendered(chat_template, plain, nullptr, options, true);
  }
  auto out = rendered(chat_template, messages, tools, options, true);
  if (!out && std::ranges::any_of(messages, [](const Message& m) { return !m.content; }))
    out = rendered(chat_template, messages, tools, options, false);
  return out;
}

}  // namespace tack::chat
