#include "text/tool_calls.h"

#include <gtest/gtest.h>

#include "text/chat.h"

namespace tack::chat {
namespace {

// "text|name(arguments)#id|...", and that streaming may show what it shows.
std::string read(std::string_view reply, ToolFormat format) {
  const Reply parsed = parse_reply(reply, format);
  for (std::size_t n = 0; n <= reply.size(); ++n)
    if (!may_be_tool_call(reply.substr(0, n), format)) {
      EXPECT_TRUE(parsed.text.starts_with(reply.substr(0, n))) << reply << " at " << n;
    }
  std::string out = parsed.text;
  for (const ToolCall& call : parsed.calls) {
    out += "|" + call.name + "(" + to_text(call.arguments) + ")";
    if (!call.id.empty()) out += "#" + call.id;
  }
  return out;
}
void stays_text(std::string_view reply, ToolFormat format) {
  EXPECT_EQ(read(reply, format), reply);
  EXPECT_TRUE(parse_reply(reply, format).calls.empty());
}

TEST(ToolCalls, Llama3) {
  const auto f = ToolFormat::kLlama3;
  EXPECT_EQ(read(R"({"name": "add", "parameters": {"a": 1, "b": [2.5, null]}})", f),
            R"(|add({"a":1,"b":[2.5,null]}))");
  EXPECT_EQ(read("\n <|python_tag|>{\"name\": \"f\", \"parameters\": {}} ", f), "|f({})");
  EXPECT_EQ(
      read(R"(Let me see.<|python_tag|>{"type": "function", "name": "f", "arguments": {}})", f),
      "Let me see.|f({})");
  EXPECT_EQ(read(R"({"name": "f", "parameters": {}}; {"name": "g", "parameters": {"x": "};"}})", f),
            R"(|f({})|g({"x":"};"}))");
  stays_text("Hello", f);
  stays_text("", f);
  stays_text("{", f);
  stays_text(R"({"name": "f"})", f);
  stays_text(R"({"name": "f", "parameters": "x"})", f);
  stays_text(R"({"name": "f", "parameters": {"a": 1})", f);
  stays_text(R"({"name": 5, "parameters": {}})", f);
  stays_text(R"({"name": "", "parameters": {}})", f);
  stays_text(R"({"name": "f", "parameters": {}} and more)", f);
  stays_text(R"({"name": "f", "parameters": {}}; {"name": "g"})", f);
  stays_text(R"(Sure: {"name": "f", "parameters": {}})", f);
  stays_text(R"(<|python_tag|>brave_search.call(query="x"))", f);
  stays_text("<|python_tag|>", f);
  EXPECT_TRUE(may_be_tool_call("Hi <|pyth", f));
  EXPECT_FALSE(may_be_tool_call("Hi <|pyth ", f));
}

TEST(ToolCalls, Mistral) {
  const auto f = ToolFormat::kMistral;
  EXPECT_EQ(read(R"([TOOL_CALLS][{"name": "f", "arguments": {"a": "é"}, "id": "abcdefghi"}])", f),
            R"(|f({"a":"é"})#abcdefghi)");
  EXPECT_EQ(
      read(
          R"(Well. [TOOL_CALLS] [{"name": "f", "arguments": {}}, {"name": "g", "arguments": {}}] )",
          f),
      "Well. |f({})|g({})");
  EXPECT_EQ(read(R"([TOOL_CALLS]f[ARGS]{"a": "[TOOL_CALLS]"}[TOOL_CALLS]g[ARGS] {})", f),
            R"(|f({"a":"[TOOL_CALLS]"})|g({}))");
  EXPECT_EQ(read(R"([TOOL_CALLS]f[CALL_ID]123456789[ARGS]{})", f), "|f({})#123456789");
  stays_text("[INST]", f);
  stays_text("[TOOL_CALLS]", f);
  stays_text("[TOOL_CALLS][]", f);
  stays_text("[TOOL_CALLS][1]", f);
  stays_text(R"([TOOL_CALLS][{"name": "f", "arguments": {}}] more)", f);
  stays_text(R"([TOOL_CALLS][{"name": "f", "arguments": {}}, {"name": "g"}])", f);
  stays_text("[TOOL_CALLS]f[ARGS]", f);
  stays_text("[TOOL_CALLS]f[ARGS][1]", f);
  stays_text("[TOOL_CALLS]f[ARGS]{\"a\": }", f);
  stays_text("[TOOL_CALLS][ARGS]{}", f);
  stays_text("[TOOL_CALLS]f[CALL_ID]1{}", f);
  stays_text("[TOOL_CALLS]f[ARGS]{}[TOOL_CALLS]g[ARGS]{", f);
  EXPECT_TRUE(may_be_tool_call("a[TOOL", f));
  EXPECT_FALSE(may_be_tool_call("a[TOOLS", f));
}

TEST(ToolCalls, Hermes) {
  const auto f = ToolFormat::kHermes;
  EXPECT_EQ(
      read("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"</tool_call>\"}}\n</tool_call>",
           f),
      R"(|f({"a":"</tool_call>"}))");
  EXPECT_EQ(read("So:\n<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>\n"
                 "<tool_call>{\"name\": \"g\", \"arguments\": {}}",
                 f),
            "So:\n|f({})|g({})");
  EXPECT_EQ(read("<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call> Done.", f),
            " Done.|f({})");
  stays_text("<tool_call>", f);
  stays_text("<tool_call></tool_call>", f);
  stays_text("<tool_call>{\"name\": \"f\", \"arguments\": {}</tool_call>", f);
  stays_text("<tool_call>[{\"name\": \"f\", \"arguments\": {}}]</tool_call>", f);
  stays_text("<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool>", f);
  stays_text("<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call><tool_call>x", f);
  stays_text(R"({"name": "f", "arguments": {}})", f);
}

TEST(ToolCalls, JsonAloneOrInAFence) {
  const auto f = ToolFormat::kJson;
  EXPECT_EQ(read(R"({"name": "f", "parameters": {"a": 1}})", f), R"(|f({"a":1}))");
  EXPECT_EQ(read(R"([{"name": "f", "parameters": {}}, {"name": "g", "arguments": {}}])", f),
            "|f({})|g({})");
  for (const char* name : {"tool_code", "json", "tool_call"})
    EXPECT_EQ(read(std::string("Yes.\n```") + name +
                       "\n{\"name\": \"f\", \"parameters\": {\"a\": \"```\"}}\n```",
                   f),
              "Yes.\n|f({\"a\":\"```\"})");
  EXPECT_EQ(read("```python\nx\n```\n```json\n[{\"name\": \"f\", \"parameters\": {}}]\n``` ok", f),
            "```python\nx\n```\n ok|f({})");
  stays_text("Use `x` and ```\ncode\n``` here", f);
  stays_text("```python\nprint(1)\n```", f);
  stays_text("```tool_code\nadd(a=1)\n```", f);
  stays_text("```json\n{\"a\": 1}\n```", f);
  stays_text("```json\n{\"name\": \"f\", \"parameters\": {}}\n", f);
  stays_text("```json", f);
  stays_text("[1, 2]", f);
  stays_text("[]", f);
  stays_text("[[{\"name\": \"f\", \"parameters\": {}}]]", f);
  EXPECT_FALSE(may_be_tool_call("```python", f));
  EXPECT_TRUE(may_be_tool_call("a ```js", f));
}

TEST(ToolCalls, DeepOrBrokenJsonIsText) {
  const std::string deep = R"({"name": "f", "parameters": {"a": )" + std::string(5000, '[') +
                           std::string(5000, ']') + "}}";
  stays_text(deep, ToolFormat::kLlama3);
  stays_text("{\"name\": \"f\xff\", \"parameters\": {}}", ToolFormat::kLlama3);
}

TEST(ToolCalls, FormatsAreKnownByMarkers) {
  const auto of = [](Family family) { return tool_format(built_in_template(family)); };
  EXPECT_EQ(of(Family::kLlama3), ToolFormat::kLlama3);
  EXPECT_EQ(of(Family::kGemma), ToolFormat::kJson);
  EXPECT_EQ(of(Family::kMistral), ToolFormat::kMistral);
  EXPECT_EQ(of(Family::kMinistral), ToolFormat::kMistral);
  EXPECT_EQ(of(Family::kChatml), ToolFormat::kHermes);
}

// What a template writes of a call is read back as that call.
TEST(ToolCalls, ComeBackFromTheBuiltInTemplates) {
  const ToolCall call{"abcdefghi", "add", {{"a", 1}, {"b", "]}\"\n"}}};
  for (Family family :
       {Family::kLlama3, Family::kGemma, Family::kMistral, Family::kMinistral, Family::kChatml})
    for (std::size_t n : {1, 2}) {
      const std::string_view source = built_in_template(family);
      std::vector<Message> messages = {{"user", "x"}, {"assistant", {}, {}, {}}};
      Options options;
      options.add_generation_prompt = false;
      const auto parsed = Template::parse(source);
      const auto render = [&] { return *render_chat(*parsed, messages, nullptr, options); };
      messages[1].content = "@@";
      const std::string frame = render();
      messages[1].content.reset();
      messages[1].tool_calls.assign(n, call);
      const std::string text = render();
      const std::size_t begin = frame.find("@@"), end = frame.size() - begin - 2;
      const Reply reply = parse_reply(
          std::string_view(text).substr(begin, text.size() - begin - end), tool_format(source));
      ASSERT_EQ(reply.calls.size(), n) << text;
      EXPECT_EQ(reply.text, "");
      EXPECT_EQ(reply.calls[n - 1].name, "add");
      EXPECT_EQ(reply.calls[n - 1].arguments, call.arguments);
    }
}

TEST(ToolCalls, AsOpenAi) {
  EXPECT_EQ(to_text(to_json({"i", "f", {{"a", 1}}})),
            R"({"id":"i","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}})");
  EXPECT_EQ(make_call_id(0), "000000000");
  EXPECT_EQ(make_call_id(~0ULL).size(), 9u);
  EXPECT_NE(make_call_id(1), make_call_id(2));
}

}  // namespace
}  // namespace tack::chat
