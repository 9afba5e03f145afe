#include "gateway/facts.h"

#include <algorithm>

namespace tack::gateway {
namespace {

// Content is a string, or parts of which some are texts.
void add_content(const Json& content, std::string& to, bool& images) {
  if (content.is_string()) {
    to += content.get_ref<const std::string&>();
    return;
  }
  if (!content.is_array()) return;
  for (const Json& part : content) {
    const Json* text = find_member(part, "text");
    if (text != nullptr && text->is_string()) to += text->get_ref<const std::string&>();
    images = images || find_member(part, "image_url") != nullptr;
  }
}

void read_messages(const Json& messages, CallFacts& facts) {
  for (const Json& message : messages) {
    const Json* content = find_member(message, "content");
    if (content == nullptr) continue;
    std::string text;
    add_content(*content, text, facts.images);
    if (!facts.whole.empty()) facts.whole += '\n';
    facts.whole += text;
    const Json* role = find_member(message, "role");
    if (role != nullptr && *role == "user") facts.text = std::move(text);
  }
}

void read_texts(const Json& input, CallFacts& facts) {
  if (input.is_string()) {
    facts.text = input.get<std::string>();
  } else if (input.is_array()) {
    for (const Json& entry : input) {
      if (!entry.is_string()) continue;
      if (!facts.text.empty()) facts.text += '\n';
      facts.text += entry.get_ref<const std::string&>();
    }
  }
  facts.whole = facts.text;
}

}  // namespace

std::string_view input_member(Operation operation) {
  if (operation == Operation::kChat) return "messages";
  return operation == Operation::kCompletion ? "prompt" : "input";
}

CallFacts facts_of(const Call& call, const net::Headers& headers) {
  CallFacts facts{.client = call.client, .headers = headers};
  const Json* input = find_member(call.body, input_member(call.operation));
  if (input != nullptr && call.operation != Operation::kChat) read_texts(*input, facts);
  if (input != nullptr && call.operation == Operation::kChat && input->is_array())
    read_messages(*input, facts);
  const Json* tools = find_member(call.body, "tools");
  facts.tools = tools != nullptr && tools->is_array() && !tools->empty();
  facts.chars = std::ranges::count_if(
      facts.whole, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
  return facts;
}

std::int64_t estimated_tokens(std::string_view text) {
  return static_cast<std::int64_t>((text.size() + 3) / 4);
}

}  // namespace tack::gateway
