// Any text as a chat template, over a fixed conversation: an error of one line, or a bounded text,
// and the same when it is rendered again.
#include <cstdint>
#include <cstdlib>

#include "text/template.h"

namespace {

void check(const tack::Error& error) {
  if (error.message.find_first_of("\r\n") != std::string::npos) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const tack::Json variables = tack::Json::parse(R"json({
    "messages": [
      {"role": "system", "content": " Be brief.\n"},
      {"role": "user", "content": [{"type": "text", "text": "na\u00efve \u6771 <b>"}]},
      {"role": "assistant", "content": null, "tool_calls": [
        {"id": "abcdefghi", "type": "function",
         "function": {"name": "add", "arguments": {"a": 1, "b": [2.5, true, null]}}}]},
      {"role": "tool", "tool_call_id": "abcdefghi", "content": "3.5"}],
    "tools": [{"type": "function", "function": {"name": "add", "parameters": {
      "type": "object", "properties": {"a": {"type": "number"}}}}}],
    "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>"})json");
  const auto parsed = tack::Template::parse({reinterpret_cast<const char*>(data), size});
  if (!parsed) {
    check(parsed.error());
    return 0;
  }
  const auto text = parsed->render(variables, 0);
  if (!text) {
    check(text.error());
    return 0;
  }
  if (text->size() > tack::Template::kMaxOutput) std::abort();
  if (text->size() < 4096) {  // a second time costs little
    const auto again = parsed->render(variables, 0);
    if (!again || *again != *text) std::abort();
  }
  return 0;
}
