#include "server/tool_choice.h"

#include <gtest/gtest.h>

#include "text/json_schema.h"

namespace tack::server {
namespace {

Json tool(const char* name, const Json& parameters) {
  return {{"type", "function"}, {"function", {{"name", name}, {"parameters", parameters}}}};
}

Json weather_and_tree() {
  const Json weather = {{"type", "object"},
                        {"properties", {{"city", {{"type", "string"}}}}},
                        {"required", Json::array({"city"})}};
  const Json tree = Json::parse(R"({"type":"object","properties":{"left":{"$ref":"#"},
      "leaf":{"$ref":"#/$defs/leaf"}},"$defs":{"leaf":{"enum":["a","b"]}}})");
  return Json::array({tool("weather", weather), tool("tree", tree)});
}

ApiResult<CompletionRequest> read(const Json& choice, const Json& more = Json::object()) {
  Json body = {{"messages", Json::array({{{"role", "user"}, {"content", "hi"}}})},
               {"tools", weather_and_tree()},
               {"tool_choice", choice}};
  body.update(more);
  return parse_chat_request(body);
}

TEST(ToolChoice, BindsTheAnswerToACall) {
  const auto any = read("required");
  ASSERT_TRUE(any) << any.error().message;
  EXPECT_TRUE(any->must_call);
  EXPECT_EQ(any->generation.form.kind, OutputForm::Kind::kSchema);
  const Json& schema = any->generation.form.schema;
  ASSERT_EQ(schema["anyOf"].size(), 2U);
  EXPECT_EQ(schema["anyOf"][0]["properties"]["name"]["const"], "weather");
  // What was the root of the tool's schema is a part of this one.
  const Json& tree = schema["anyOf"][1]["properties"]["parameters"];
  EXPECT_EQ(tree["properties"]["left"]["$ref"], "#/anyOf/1/properties/parameters");
  EXPECT_EQ(tree["properties"]["leaf"]["$ref"], "#/anyOf/1/properties/parameters/$defs/leaf");
  const auto compiled = compile_json_schema(schema);
  EXPECT_TRUE(compiled) << compiled.error().message;

  const Json named = Json::parse(R"({"type":"function","function":{"name":"tree"}})");
  const auto one = read(named);
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_EQ(one->generation.form.schema["properties"]["name"]["const"], "tree");
  EXPECT_EQ(one->tools.size(), 2U);  // the prompt shows all of them
  EXPECT_TRUE(compile_json_schema(one->generation.form.schema));
}

TEST(ToolChoice, AFunctionWithoutParametersTakesAnyObject) {
  for (const Json& parameters : {Json(), Json::object()}) {
    const Json schema = call_schema(Json::array({tool("ping", parameters)}));
    EXPECT_EQ(schema["properties"]["parameters"], Json::parse(R"({"type":"object"})"));
  }
}

TEST(ToolChoice, LeavesFreeAnswersFree) {
  for (const Json& choice : {Json("auto"), Json()}) {
    const auto free = read(choice);
    ASSERT_TRUE(free);
    EXPECT_FALSE(free->must_call);
    EXPECT_EQ(free->tools.size(), 2U);
  }
  const auto none = read("none");
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->tools.is_null());
}

TEST(ToolChoice, SaysWhatCannotBe) {
  const auto refused = [](const Json& choice, const Json& more = Json::object()) {
    const auto read_it = read(choice, more);
    return read_it ? std::string() : read_it.error().param + ": " + read_it.error().message;
  };
  EXPECT_NE(refused("any").find("tool_choice: 'tool_choice' must be"), std::string::npos);
  EXPECT_NE(refused({{"type", "allowed_tools"}}).find("must be"), std::string::npos);
  EXPECT_NE(refused(Json::parse(R"({"type":"function","function":{"name":"nobody"}})"))
                .find("\"nobody\", which is not among"),
            std::string::npos);
  EXPECT_NE(refused(Json::parse(R"({"type":"function"})")).find("must be"), std::string::npos);
  EXPECT_NE(refused("required", {{"tools", nullptr}}).find("'tools' is missing"),
            std::string::npos);
  EXPECT_NE(refused("required", {{"guided_choice", {"a", "b"}}}).find("give one of them"),
            std::string::npos);
  EXPECT_NE(refused("auto", {{"parallel_tool_calls", false}}).find("parallel_tool_calls: "),
            std::string::npos);
  EXPECT_EQ(refused("required", {{"parallel_tool_calls", false}}), "");
  EXPECT_EQ(refused("none", {{"parallel_tool_calls", false}}), "");
}

}  // namespace
}  // namespace tack::server
