// Which members requests may have, and what refusals say.
#include "server/fields.h"

#include <set>

#include <gtest/gtest.h>

#include "server/completions.h"
#include "server/openai.h"
#include "server/request_fields.h"

namespace tack::server {
namespace {

constexpr Field kFields[] = {
    {"model", R"({"type":"string"})", "A name."},
    {"user", R"({"type":"string"})", "Not used.", Field::Use::kHint},
    {"store", "[false]", "nothing is stored", Field::Use::kOnly},
    {"tier", R"(["auto","default"])", "there is one", Field::Use::kOnly},
    {"audio", "", "use 'text'", Field::Use::kRefused},
};

ApiError refusal(const char* object, std::string_view prefix = "") {
  const auto checked = only_members(Json::parse(object), kFields, prefix);
  return checked ? ApiError{.status = 200} : checked.error();
}

TEST(Fields, KnownMembersPassAndOthersAreNamed) {
  for (const char* object :
       {"{}", R"({"model":"a","user":5})", R"({"store":false,"tier":"default"})",
        R"({"store":null,"tier":null,"audio":null,"model":null})"})
    EXPECT_EQ(refusal(object).status, 200) << object;
  const ApiError unknown = refusal(R"({"model":"a","modell":"b","x":1})");
  EXPECT_EQ(unknown.status, 400);
  EXPECT_EQ(unknown.param, "modell");
  EXPECT_EQ(unknown.code, "unknown_parameter");
  EXPECT_EQ(refusal(R"({"":1})", "questions[2].").param, "questions[2].");
  const ApiError value = refusal(R"({"tier":"flex"})");
  EXPECT_EQ(value.param, "tier");
  EXPECT_EQ(value.code, "unsupported_value");
  EXPECT_EQ(value.message, R"('tier' can only be "auto" or "default": there is one)");
  EXPECT_EQ(refusal(R"({"store":true})").message, "'store' can only be false: nothing is stored");
  EXPECT_EQ(refusal(R"({"store":"false"})").param, "store");
  const ApiError refused = refusal(R"({"audio":{}})", "q[0].");
  EXPECT_EQ(refused.param, "q[0].audio");
  EXPECT_EQ(refused.code, "unsupported_parameter");
  EXPECT_EQ(refused.message, "'q[0].audio' is not supported by local models; use 'text'");
}

TEST(Fields, TablesAreWellFormed) {
  for (const auto table :
       {fields::chat, fields::stream_options, fields::completion, fields::embeddings,
        fields::classify, fields::tag, fields::extract, fields::question, fields::decisions,
        fields::predicate, fields::choice, fields::choice_of, fields::score_levels, fields::level,
        fields::rerank, fields::score, fields::tokenize, fields::detokenize}) {
    std::set<std::string_view> names;
    for (const Field& field : table) {
      EXPECT_TRUE(names.insert(field.name).second) << field.name;
      if (field.use == Field::Use::kRefused) continue;
      const Json schema = Json::parse(field.schema, nullptr, false);
      EXPECT_TRUE(field.use == Field::Use::kOnly ? schema.is_array() : schema.is_object())
          << field.name;
    }
  }
}

// The parameters of OpenAI's chat completions as its Python client 3.57.0 lists them: none of them
// is unknown here, and those that would change an answer are refused.
TEST(Fields, EveryParameterOfTheApiIsDecidedUpon) {
  const auto outcome = [](const char* name, const char* value) {
    Json body = {{"messages", Json::array({{{"role", "user"}, {"content", "hi"}}})}};
    body[name] = Json::parse(value);
    const auto parsed = parse_chat_request(body);
    return parsed ? std::string("taken") : parsed.error().code;
  };
  const std::tuple<const char*, const char*, const char*> cases[] = {
      {"model", R"("m")", "taken"},
      {"frequency_penalty", "0.5", "taken"},
      {"logit_bias", R"({"5":1})", "taken"},
      {"logprobs", "true", "taken"},
      {"max_completion_tokens", "5", "taken"},
      {"max_tokens", "5", "taken"},
      {"metadata", R"({"a":"b"})", "taken"},
      {"n", "1", "taken"},
      {"n", "2", "unsupported_value"},
      {"parallel_tool_calls", "true", "taken"},
      {"prediction", R"({"type":"content","content":"x"})", "taken"},
      {"presence_penalty", "0.5", "taken"},
      {"prompt_cache_key", R"("k")", "taken"},
      {"prompt_cache_options", R"({"mode":"implicit"})", "taken"},
      {"prompt_cache_retention", R"("24h")", "taken"},
      {"response_format", R"({"type":"json_object"})", "taken"},
      {"safety_identifier", R"("s")", "taken"},
      {"seed", "5", "taken"},
      {"stop", R"(["x"])", "taken"},
      {"stream", "true", "taken"},
      {"stream_options", R"({"include_usage":true,"include_obfuscation":false})", "taken"},
      {"stream_options", R"({"usage":true})", "unknown_parameter"},
      {"temperature", "0", "taken"},
      {"tools", "[]", "taken"},
      {"tool_choice", R"("none")", "taken"},
      {"top_p", "0.5", "taken"},
      {"user", R"("u")", "taken"},
      {"audio", R"({"voice":"x"})", "unsupported_parameter"},
      {"function_call", R"("auto")", "unsupported_parameter"},
      {"functions", "[]", "unsupported_parameter"},
      {"modalities", R"(["text"])", "taken"},
      {"modalities", R"(["text","audio"])", "unsupported_value"},
      {"moderation", R"({"model":"m"})", "unsupported_parameter"},
      {"reasoning_effort", R"("none")", "taken"},
      {"reasoning_effort", R"("high")", "unsupported_value"},
      {"service_tier", R"("auto")", "taken"},
      {"service_tier", R"("flex")", "unsupported_value"},
      {"store", "false", "taken"},
      {"store", "true", "unsupported_value"},
      {"verbosity", R"("medium")", "taken"},
      {"verbosity", R"("low")", "unsupported_value"},
      {"web_search_options", "{}", "unsupported_parameter"},
      {"guided_regex", R"("a+")", "unknown_parameter"},
  };
  for (const auto& [name, value, wanted] : cases)
    EXPECT_EQ(outcome(name, value), wanted) << name << " " << value;
}

Json error_of(const ApiError& error) {
  return Json::parse(error.response().body)["error"];
}

TEST(ApiErrors, HaveTheTypesAndCodesOfTheApi) {
  EXPECT_EQ(error_of({400, "no", "input"}),
            Json::parse(R"({"message":"no","type":"invalid_request_error","param":"input",
                            "code":null})"));
  EXPECT_EQ(error_of({401, "no"})["code"], "invalid_api_key");
  EXPECT_EQ(error_of({401, "no"})["type"], "invalid_request_error");
  EXPECT_EQ(error_of({429, "no"})["type"], "requests");
  EXPECT_EQ(error_of({429, "no"})["code"], "rate_limit_exceeded");
  EXPECT_EQ(error_of({429, "no", {}, "budget"})["code"], "budget");
  EXPECT_EQ(error_of({500, "no"})["type"], "server_error");
  EXPECT_EQ(error_of({.status = 403, .message = "no", .type = "permission_error"})["type"],
            "permission_error");
  const net::Response later =
      ApiError{.status = 429, .message = "no", .retry_after = std::chrono::milliseconds(1500)}
          .response();
  EXPECT_EQ(*later.headers.find("retry-after"), "2");
  EXPECT_EQ(*later.headers.find("retry-after-ms"), "1500");
  EXPECT_EQ(ApiError({400, "no"}).response().headers.find("retry-after"), nullptr);
}

TEST(ApiErrors, SayWhatIsWrongWithABody) {
  const auto message = [](std::string body) { return parse_object(body).error().message; };
  EXPECT_EQ(message("{\"a\": \"\xff\"}"), "request body: not valid UTF-8 at line 1, column 8");
  EXPECT_EQ(message("{\"a\": }"), "request body: not valid JSON at line 1, column 7");
  EXPECT_EQ(message("[]"), "request body: must be a JSON object");
  EXPECT_EQ(message("{\"a\":" + std::string(128, '[') + std::string(128, ']') + "}"),
            "request body: JSON nested deeper than 128");
  EXPECT_TRUE(parse_object("{\"a\":" + std::string(127, '[') + std::string(127, ']') + "}"));
}

TEST(Ids, Differ) {
  const std::string first = make_id("rerank"), second = make_id("rerank");
  EXPECT_TRUE(first.starts_with("rerank-"));
  EXPECT_NE(first, second);
}

}  // namespace
}  // namespace tack::server
