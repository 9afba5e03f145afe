#include "text/chat.h"

#include <cstdlib>
#include <fstream>
#include <iostream>

#include <gtest/gtest.h>

namespace tack::chat {
namespace {

std::string error_of(const Json& messages) {
  const auto parsed = parse_messages(messages);
  return parsed ? "" : parsed.error().message;
}

std::string rendered(std::string_view source, const Json& messages, const Json& tools = nullptr,
                     Options options = {}) {
  const auto chat_template = Template::parse(source);
  if (!chat_template) return "error: " + chat_template.error().message;
  const auto parsed = parse_messages(messages);
  if (!parsed) return "error: " + parsed.error().message;
  const auto text = render_chat(*chat_template, *parsed, tools, options);
  return text ? *text : "error: " + text.error().message;
}

// Of tools/golden/chat_templates.py: what published templates made of conversations, in Python.
void compare(const std::string& path) {
  std::ifstream file(path);
  ASSERT_TRUE(file) << path;
  const Json golden = Json::parse(file);
  setenv("TZ", "UTC", 1);
  Options options;
  options.bos_token = "<s>";
  options.eos_token = "</s>";
  options.now = golden["now"].get<std::time_t>();
  const std::map<std::string, Family> families = {{"llama3", Family::kLlama3},
                                                  {"gemma", Family::kGemma},
                                                  {"mistral", Family::kMistral},
                                                  {"ministral", Family::kMinistral},
                                                  {"chatml", Family::kChatml}};
  for (const Json& one : golden["prompts"]) {
    const auto name = one[0].get<std::string>();
    const auto family = families.find(name);
    const std::string_view source =
        family == families.end() ? std::string_view(name) : built_in_template(family->second);
    options.add_generation_prompt = one[3].get<bool>();
    EXPECT_EQ(rendered(source, one[1], one[2], options), one[4].get<std::string>())
        << name.substr(0, 300) << "\n"
        << to_text(one[1]) << "\ntools " << to_text(one[2]);
    if (testing::Test::HasFailure()) break;
  }
  std::cout << golden["prompts"].size() << " prompts\n";
}

TEST(Chat, BuiltInTemplatesAsPublishedOnes) {
  compare(std::string(TACK_SOURCE_DIR) + "/tests/golden/chat_prompts.json");
}

// The published templates themselves, which the repository does not hold.
TEST(Chat, Prompts) {
  const char* path = std::getenv("TACK_CHAT_PROMPTS");
  if (path == nullptr) GTEST_SKIP() << "TACK_CHAT_PROMPTS names no file";
  compare(path);
}

TEST(Chat, ErrorsNameThePlace) {
  const Json user = {{"role", "user"}, {"content", "Hi"}};
  const auto second = [&](Json message) { return error_of({user, std::move(message)}); };
  EXPECT_EQ(error_of("Hi"), "messages: must be a list");
  EXPECT_EQ(error_of(Json::array()), "messages: is empty");
  EXPECT_EQ(second("Hi"), "messages[1]: must be an object");
  EXPECT_EQ(second({{"content", "Hi"}}), "messages[1].role: is missing");
  EXPECT_EQ(second({{"role", 1}}), "messages[1].role: must be a string");
  EXPECT_EQ(second({{"role", "bot"}, {"content", ""}}),
            "messages[1].role: 'bot' is none of system, developer, user, assistant, tool");
  EXPECT_EQ(second({{"role", "user"}}), "messages[1].content: is missing");
  EXPECT_EQ(second({{"role", "assistant"}, {"content", nullptr}}),
            "messages[1].content: is missing");
  EXPECT_EQ(second({{"role", "user"}, {"content", 5}}),
            "messages[1].content: must be a string or a list of parts");
  const auto part = [&](Json p) {
    return second({{"role", "user"},
                   {"content", Json::array({{{"type", "text"}, {"text", "a"}}, std::move(p)})}});
  };
  EXPECT_EQ(part({{"type", "image_url"}, {"image_url", {{"url", "x"}}}}),
            "messages[1].content[1]: images are not supported");
  EXPECT_EQ(part({{"type", "input_audio"}}),
            "messages[1].content[1]: the type 'input_audio' is not supported, only text");
  EXPECT_EQ(part({{"type", "text"}}), "messages[1].content[1].text: must be a string");
  EXPECT_EQ(part("x"), "messages[1].content[1]: must be an object");
  const auto called = [&](Json call) {
    return second({{"role", "assistant"}, {"tool_calls", Json::array({std::move(call)})}});
  };
  EXPECT_EQ(called(1), "messages[1].tool_calls[0]: must be an object");
  EXPECT_EQ(called({{"id", "a"}}), "messages[1].tool_calls[0].function: must be an object");
  EXPECT_EQ(called({{"function", {{"arguments", "{}"}}}}),
            "messages[1].tool_calls[0].function.name: is missing");
  for (const Json& arguments : {Json("[1]"), Json(3), Json::array()})
    EXPECT_EQ(called({{"function", {{"name", "f"}, {"arguments", arguments}}}}),
              "messages[1].tool_calls[0].function.arguments: must be a JSON object, as text");
  const std::string broken = called({{"function", {{"name", "f"}, {"arguments", "{\n"}}}});
  EXPECT_TRUE(broken.starts_with("messages[1].tool_calls[0].function.arguments")) << broken;
  EXPECT_EQ(broken.find('\n'), broken.npos);
  EXPECT_EQ(called({{"function", {{"name", "f"}, {"arguments", ""}}}}), "");
  EXPECT_EQ(second({{"role", "assistant"}, {"content", "a"}, {"tool_calls", 1}}),
            "messages[1].tool_calls: must be a list");

  EXPECT_EQ(parse_tools("x").error().message, "tools: must be a list");
  EXPECT_EQ(parse_tools({1}).error().message, "tools[0]: must be an object");
  EXPECT_EQ(parse_tools({{{"type", "search"}}}).error().message,
            "tools[0].type: 'search' is not supported, only function");
  EXPECT_EQ(parse_tools({{{"type", "function"}, {"function", {{"name", ""}}}}}).error().message,
            "tools[0].function.name: is missing");
  EXPECT_EQ(parse_tools({{{"type", "function"},
                          {"function", {{"name", "f"}, {"parameters", Json::array()}}}}})
                .error()
                .message,
            "tools[0].function.parameters: must be an object");
  EXPECT_TRUE(parse_tools(Json::array())->is_null());
  EXPECT_TRUE(parse_tools(nullptr)->is_null());
}

TEST(Chat, PartsAreJoinedAndDevelopersAreSystems) {
  const Json messages = {
      {{"role", "developer"}, {"content", "S"}},
      {{"role", "user"},
       {"content", {{{"type", "text"}, {"text", "a"}}, {{"type", "text"}, {"text", "b"}}}}}};
  EXPECT_EQ(rendered("{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}", messages),
            "system:S;user:a\nb;");
}

TEST(Chat, VariablesAreThoseOfTransformers) {
  const Json messages = {{{"role", "user"}, {"content", "Hi"}}};
  Options options;
  options.bos_token = "<s>";
  options.date_string = "1 May 2025";
  options.variables = {{"thinking", false}, {"messages", "mine"}};
  EXPECT_EQ(rendered("{{ bos_token }}{{ date_string }}{{ thinking }}{{ documents }}{{ tools }}"
                     "{{ add_generation_prompt }}{{ messages }}",
                     messages, nullptr, options),
            "<s>1 May 2025FalseNoneNoneTrue[{'role': 'user', 'content': 'Hi'}]");
  options.variables = 5;
  EXPECT_EQ(rendered("", messages, nullptr, options),
            "error: the variables of a chat template must be an object");
  EXPECT_EQ(rendered("{{ raise_exception('no') }}", messages), "error: no");
}

TEST(Chat, AMissingContentIsNullOrElseEmpty) {
  const Json messages = {
      {{"role", "assistant"},
       {"content", nullptr},
       {"tool_calls", Json::array({{{"function", {{"name", "f"}, {"arguments", "{}"}}}}})}}};
  EXPECT_EQ(rendered("{{ tools }}{{ messages[0].content is none }}", messages), "NoneTrue");
  EXPECT_EQ(rendered("{{ tools }}{{ messages[0].content|length }}", messages), "None0");
}

// Gemma 3's own template knows no tools and wants turns to alternate.
TEST(Chat, ToolsForTemplatesWithoutThem) {
  const Json tools = {{{"type", "function"}, {"function", {{"name", "add"}}}}};
  const Json call = {{"id", "1"}, {"function", {{"name", "add"}, {"arguments", "{\"a\": 1}"}}}};
  Json messages = {{{"role", "system"}, {"content", "Be brief."}},
                   {{"role", "user"}, {"content", "1 + 1?"}},
                   {{"role", "assistant"}, {"content", "So."}, {"tool_calls", {call, call}}},
                   {{"role", "tool"}, {"content", "2"}},
                   {{"role", "tool"}, {"content", "3"}},
                   {{"role", "user"}, {"content", "Go on."}},
                   {{"role", "assistant"}, {"content", "2"}},
                   {{"role", "user"}, {"content", "Thanks"}}};
  const std::string text = rendered(built_in_template(Family::kGemma), messages, tools);
  EXPECT_TRUE(text.starts_with("<start_of_turn>user\nBe brief.\n\nYou have access to functions."))
      << text;
  const std::string end =
      "        \"name\": \"add\"\n    }\n  }\n]\n\n1 + 1?<end_of_turn>\n"
      "<start_of_turn>model\nSo.\n"
      "[{\"name\":\"add\",\"parameters\":{\"a\":1}},{\"name\":\"add\",\"parameters\":{\"a\":1}}]"
      "<end_of_turn>\n"
      "<start_of_turn>user\n```tool_output\n2\n```\n```tool_output\n3\n```\nGo on.<end_of_turn>\n"
      "<start_of_turn>model\n2<end_of_turn>\n<start_of_turn>user\nThanks<end_of_turn>\n"
      "<start_of_turn>model\n";
  EXPECT_TRUE(text.ends_with(end.substr(end.find("]\n\n")))) << text;
  messages.erase(0);
  const std::string alone = rendered(built_in_template(Family::kGemma), messages, tools);
  EXPECT_EQ("<start_of_turn>user\nBe brief.\n\n" +
                alone.substr(std::string("<start_of_turn>user\n").size()),
            text);
  EXPECT_EQ(rendered("{{ messages|length }}", {{{"role", "user"}, {"content", "x"}}}), "1");
}

TEST(Chat, FamiliesAreKnownByTokens) {
  const auto family = [](std::string_view architecture, std::vector<std::string_view> tokens) {
    return family_of(architecture, [&](std::string_view token) {
      return std::ranges::find(tokens, token) != tokens.end();
    });
  };
  EXPECT_EQ(family("llama", {"<|start_header_id|>", "<|im_start|>"}), Family::kChatml);
  EXPECT_EQ(family("llama", {"<|start_header_id|>"}), Family::kLlama3);
  EXPECT_EQ(family("x", {"<start_of_turn>"}), Family::kGemma);
  EXPECT_EQ(family("llama", {"[INST]"}), Family::kMistral);
  EXPECT_EQ(family("llama", {"[INST]", "[SYSTEM_PROMPT]"}), Family::kMinistral);
  EXPECT_EQ(family("gemma3", {}), Family::kGemma);
  EXPECT_EQ(family("mistral3", {}), Family::kMinistral);
  EXPECT_EQ(family("llama", {}), Family::kChatml);
}

TEST(Chat, LongConversations) {
  Json messages = Json::array();
  for (int i = 0; i < 500; ++i) {
    messages.push_back({{"role", "user"}, {"content", std::string(2000, 'a')}});
    messages.push_back({{"role", "assistant"}, {"content", std::string(2000, 'b')}});
  }
  messages.push_back({{"role", "user"}, {"content", "c"}});
  for (Family family :
       {Family::kLlama3, Family::kGemma, Family::kMistral, Family::kMinistral, Family::kChatml}) {
    const std::string text = rendered(built_in_template(family), messages);
    EXPECT_GT(text.size(), 2'000'000u) << text.substr(0, 100);
  }
}

}  // namespace
}  // namespace tack::chat
