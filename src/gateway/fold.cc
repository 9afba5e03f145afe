#include "gateway/fold.h"

#include <cctype>

namespace tack::gateway {
namespace {

void append(Json& object, std::string_view name, const Json& text) {
  if (!text.is_string()) return;
  Json& to = object[std::string(name)];
  if (to.is_string())
    to.get_ref<std::string&>() += text.get_ref<const std::string&>();
  else
    to = text;
}

Json& at_index(Json& list, const Json& part) {
  constexpr std::size_t kMost = 1024;  // of choices or calls: a hostile index makes no long list
  const std::size_t i = std::min(index_of(part), kMost);
  while (list.size() <= i) list.push_back(Json::object());
  return list[i];
}

// A call of a tool comes as its name, then its arguments in pieces.
void add_calls(Json& message, const Json& calls) {
  if (!calls.is_array()) return;
  Json& list = message["tool_calls"];
  if (!list.is_array()) list = Json::array();
  for (const Json& part : calls) {
    if (!part.is_object()) continue;
    Json& call = at_index(list, part);
    for (const auto& [name, value] : part.items()) {
      if (name == "index") continue;
      if (name != "function") {
        call[name] = value;
        continue;
      }
      if (!value.is_object()) continue;
      for (const auto& [key, text] : value.items()) append(call["function"], key, text);
    }
  }
}

// Names and arguments, the latter as JSON where they are.
Json functions_of(const Json& calls) {
  Json functions = Json::array();
  for (const Json& call : calls) {
    const Json* function = find_member(call, "function");
    if (function == nullptr || !function->is_object()) continue;
    functions.push_back(*function);
    Json& arguments = functions.back()["arguments"];
    if (!arguments.is_string()) continue;
    Json parsed = Json::parse(arguments.get_ref<const std::string&>(), nullptr, false);
    if (!parsed.is_discarded()) arguments = std::move(parsed);
  }
  return functions;
}

std::string normalized(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isspace(byte) == 0)
      out += static_cast<char>(std::tolower(byte));
    else if (!out.empty() && out.back() != ' ')
      out += ' ';
  }
  while (!out.empty() && (out.back() == ' ' || out.back() == '.')) out.pop_back();
  return out;
}

}  // namespace

std::size_t index_of(const Json& part) {
  const Json* index = find_member(part, "index");
  return index != nullptr && index->is_number_unsigned() ? index->get<std::size_t>() : 0;
}

Json head_of(const Json& event) {
  Json head = Json::object();
  for (const char* name : {"id", "object", "created", "model"})
    if (const Json* value = find_member(event, name)) head[name] = *value;
  return head;
}

void AnswerFold::add(std::string_view event) {
  const Json part = Json::parse(event, nullptr, false);
  if (!part.is_object()) return;
  const Json* choices = find_member(part, "choices");
  if (choices == nullptr || !choices->is_array()) return;
  if (whole_.is_null()) {
    const bool chat =
        find_member(part, "object") != nullptr && part["object"] == "chat.completion.chunk";
    whole_ = head_of(part);
    if (chat) whole_["object"] = "chat.completion";
    whole_["choices"] = Json::array();
  }
  for (const Json& choice : *choices) add_choice(choice);
  if (const Json* usage = find_member(part, "usage")) whole_["usage"] = *usage;
}

void AnswerFold::add_choice(const Json& part) {
  if (!part.is_object()) return;
  Json& choice = at_index(whole_["choices"], part);
  if (const Json* index = find_member(part, "index")) choice["index"] = *index;
  if (const Json* text = find_member(part, "text")) append(choice, "text", *text);
  if (const Json* delta = find_member(part, "delta"); delta != nullptr && delta->is_object()) {
    Json& message = choice["message"];
    if (message.is_null()) message = Json{{"role", "assistant"}, {"content", nullptr}};
    for (const auto& [name, value] : delta->items()) {
      if (name == "tool_calls")
        add_calls(message, value);
      else if (name != "role")
        append(message, name, value);
    }
  }
  if (const Json* reason = find_member(part, "finish_reason")) choice["finish_reason"] = *reason;
}

std::optional<std::string> answer_text(const Json& whole) {
  const Json* choices = find_member(whole, "choices");
  if (choices == nullptr || !choices->is_array() || choices->empty()) return std::nullopt;
  const Json& choice = choices->front();
  const Json* message = find_member(choice, "message");
  const Json* text =
      message != nullptr ? find_member(*message, "content") : find_member(choice, "text");
  const Json* calls = message != nullptr ? find_member(*message, "tool_calls") : nullptr;
  if (calls != nullptr && calls->is_array() && !calls->empty())
    return to_text(functions_of(*calls));
  if (text == nullptr || !text->is_string() || *text == "") return std::nullopt;
  return text->get<std::string>();
}

bool same_answer(std::string_view a, std::string_view b) {
  const auto as_json = [](std::string_view text) {
    return nlohmann::json::parse(text, nullptr, false);
  };
  const nlohmann::json left = as_json(a), right = as_json(b);
  if (left.is_structured() && right.is_structured()) return left == right;
  return normalized(a) == normalized(b);
}

}  // namespace tack::gateway
