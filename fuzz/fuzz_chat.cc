// Any text as a model's reply with tool calls, or as a conversation's JSON; the first byte picks
// which. Calls have a name and an object of arguments, what streaming shows is what the reply's
// text begins with, and a conversation is an error of one line or a prompt.
#include <cstdint>
#include <cstdlib>

#include "text/chat.h"

namespace {

using namespace tack::chat;

void check_reply(std::string_view text, ToolFormat format) {
  const Reply reply = parse_reply(text, format);
  if (reply.calls.empty() && reply.text != text) std::abort();
  if (!reply.calls.empty() && !may_be_tool_call(text, format)) std::abort();
  for (const ToolCall& call : reply.calls)
    if (call.name.empty() || !call.arguments.is_object()) std::abort();
  for (std::size_t n = 0; n <= std::min<std::size_t>(text.size(), 256); ++n)
    if (!may_be_tool_call(text.substr(0, n), format) && !reply.text.starts_with(text.substr(0, n)))
      std::abort();
}

void check_conversation(std::string_view text, Family family) {
  static const std::vector<tack::Template> templates = [] {
    std::vector<tack::Template> out;
    for (int i = 0; i < 5; ++i)
      out.push_back(*tack::Template::parse(built_in_template(static_cast<Family>(i))));
    return out;
  }();
  const auto body = tack::parse_json(text, "fuzz");
  if (!body || !body->is_object()) return;
  const auto check = [](const tack::Error& error) {
    if (error.message.find_first_of("\r\n") != std::string::npos) std::abort();
  };
  const auto messages = parse_messages(body->value("messages", tack::Json()));
  if (!messages) return check(messages.error());
  const auto tools = parse_tools(body->value("tools", tack::Json()));
  if (!tools) return check(tools.error());
  const auto prompt =
      render_chat(templates[static_cast<std::size_t>(family)], *messages, *tools, {});
  if (!prompt) check(prompt.error());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  const int kind = data[0] % 9;
  if (kind < 4)
    check_reply(text, static_cast<ToolFormat>(kind));
  else
    check_conversation(text, static_cast<Family>(kind - 4));
  return 0;
}
