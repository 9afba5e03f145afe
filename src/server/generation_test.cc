// Completions over HTTP: of a made-up decoder, and of a task model in its place.
#include <filesystem>
#include <optional>
#include <thread>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>
#include <unistd.h>

#include "models/made_up_tokenizer.h"
#include "net/client.h"
#include "net/server.h"
#include "server/app.h"
#include "server/fake_model.h"

namespace tack::server {
namespace {

namespace fs = std::filesystem;
using net::Response;

class GenerationApi : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("tack_generation_" + std::to_string(::getpid()));
    fs::create_directories(directory_);
    ASSERT_TRUE(write_made_up_llama(directory_, 4096));
    const auto model = Model::open(directory_);
    ASSERT_TRUE(model) << model.error().message;
    auto decoder = open_served_decoder(*model, "made-up",
                                       {.decoder = {.threads = 1, .sequences = 2, .lane = &lane_}});
    ASSERT_TRUE(decoder) << decoder.error().message;
    std::vector<std::unique_ptr<ServedDecoder>> served;
    served.push_back(std::move(*decoder));
    std::vector<std::unique_ptr<ServedModel>> encoders;
    encoders.push_back(std::make_unique<FakeModel>(state_, "tickets", true));
    encoders_.emplace(std::move(encoders), QueueLimits{}, &lane_);
    decoders_.emplace(std::move(served));
    net::Router router;
    app_.emplace(config_, App::Parts{}, *encoders_, *decoders_, [this](store::CallRecord record) {
      const std::lock_guard lock(records_mutex_);
      records_.push_back(std::move(record));
    });
    app_->add_routes(router);
    auto started = net::HttpServer::start({}, std::move(router));
    ASSERT_TRUE(started) << started.error().message;
    server_ = std::move(*started);
  }
  void TearDown() override {
    if (server_) server_->stop(std::chrono::seconds(5));
    decoders_.reset();
    encoders_.reset();
    fs::remove_all(directory_);
  }

  Response post(const std::string& path, const Json& body) {
    auto got =
        net::fetch_blocking({.method = "POST",
                             .url = fmt::format("http://127.0.0.1:{}{}", server_->port(), path),
                             .body = to_text(body)});
    EXPECT_TRUE(got) << got.error().message;
    return got.value_or(Response{.status = -1});
  }
  Json ok(const std::string& path, const Json& body) {
    const Response response = post(path, body);
    EXPECT_EQ(response.status, 200) << response.body;
    return Json::parse(response.body);
  }
  // The events of a stream, without the [DONE] that must end it.
  std::vector<Json> events(const std::string& path, Json body) {
    body["stream"] = true;
    const std::string text = post(path, body).body;
    EXPECT_TRUE(text.ends_with("data: [DONE]\n\n")) << text;
    std::vector<Json> all;
    for (std::size_t at = 0; (at = text.find("data: {", at)) != text.npos; at += 6)
      all.push_back(Json::parse(text.substr(at + 6, text.find('\n', at) - at - 6)));
    return all;
  }
  std::string refusal(const std::string& path, const Json& body, int status = 400) {
    const Response response = post(path, body);
    EXPECT_EQ(response.status, status) << response.body;
    return Json::parse(response.body)["error"]["message"];
  }
  static Json chat(std::string_view model = "made-up") {
    return {{"model", model},
            {"messages", Json::array({{{"role", "user"}, {"content", "hello"}}})},
            {"max_tokens", 12},
            {"temperature", 0},
            {"logit_bias", {{"257", -100}}}};
  }

  static Json weather_tools() {
    return Json::parse(R"([{"type":"function","function":{"name":"weather","parameters":{
        "type":"object","properties":{"day":{"enum":["today","tomorrow"]}},
        "required":["day"]}}}])");
  }

  fs::path directory_;
  PriorityLane lane_;
  FakeState state_;
  std::mutex records_mutex_;
  std::vector<store::CallRecord> records_;
  const gateway::GatewayConfig config_;
  std::optional<App> app_;
  std::unique_ptr<net::HttpServer> server_;
  std::optional<EncoderService> encoders_;
  std::optional<GenerationService> decoders_;
};

TEST_F(GenerationApi, AChatIsAnsweredWholeAndAsEvents) {
  const Json whole = ok("/v1/chat/completions", chat());
  EXPECT_EQ(whole["object"], "chat.completion");
  EXPECT_EQ(whole["model"], "made-up");
  const Json& choice = whole["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_EQ(choice["message"]["role"], "assistant");
  EXPECT_EQ(whole["usage"]["completion_tokens"], 12);
  Json body = chat();
  body["stream_options"] = {{"include_usage", true}};
  const auto all = events("/v1/chat/completions", body);
  ASSERT_GE(all.size(), 4U);
  EXPECT_EQ(all.front()["choices"][0]["delta"]["role"], "assistant");
  std::string text;
  for (std::size_t i = 1; i + 2 < all.size(); ++i)
    text += all[i]["choices"][0]["delta"]["content"].get<std::string>();
  EXPECT_EQ(Json(text), choice["message"]["content"]);
  EXPECT_EQ(all[all.size() - 2]["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(all.back()["usage"]["completion_tokens"], 12);
  EXPECT_GT(all.back()["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
}

TEST_F(GenerationApi, CompletionsHaveLogprobs) {
  const Json whole = ok("/v1/completions", {{"model", "made-up"},
                                            {"prompt", "some text"},
                                            {"max_tokens", 4},
                                            {"temperature", 0},
                                            {"logprobs", 3},
                                            {"logit_bias", {{"257", -100}}}});
  EXPECT_EQ(whole["object"], "text_completion");
  const Json& logprobs = whole["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["tokens"].size(), 4U);
  EXPECT_GE(logprobs["top_logprobs"][0].size(), 1U);  // single bytes look alike
  EXPECT_LE(logprobs["token_logprobs"][0], 0.0);
  // The same prompt as token ids.
  Json ids = Json::array();
  for (const char c : std::string("some text")) ids.push_back(static_cast<unsigned char>(c));
  const Json again = ok("/v1/completions", {{"model", "made-up"},
                                            {"prompt", ids},
                                            {"max_tokens", 4},
                                            {"temperature", 0},
                                            {"logit_bias", {{"257", -100}}}});
  EXPECT_EQ(again["choices"][0]["text"], whole["choices"][0]["text"]);
}

TEST_F(GenerationApi, AnAnswerHasTheFormThatWasAsked) {
  Json body = chat();
  body["max_tokens"] = 100;
  body.erase("logit_bias");
  body["response_format"] = {{"type", "json_schema"},
                             {"json_schema",
                              {{"name", "x"},
                               {"schema",
                                {{"type", "object"},
                                 {"properties", {{"ok", {{"type", "boolean"}}}}},
                                 {"required", Json::array({"ok"})}}}}}};
  const Json made = Json::parse(
      ok("/v1/chat/completions", body)["choices"][0]["message"]["content"].get<std::string>());
  EXPECT_TRUE(made["ok"].is_boolean());
  body.erase("response_format");
  body["guided_choice"] = {"left", "right"};
  const std::string chosen = ok("/v1/chat/completions", body)["choices"][0]["message"]["content"];
  EXPECT_TRUE(chosen == "left" || chosen == "right") << chosen;
}

TEST_F(GenerationApi, ACallIsMadeWhenItMust) {
  Json body = chat();
  body["max_tokens"] = 200;
  body.erase("logit_bias");
  body["tools"] = weather_tools();
  body["tool_choice"] = "required";
  const Json choice = ok("/v1/chat/completions", body)["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls") << choice;
  EXPECT_TRUE(choice["message"]["content"].is_null());
  ASSERT_EQ(choice["message"]["tool_calls"].size(), 1U);
  const Json& call = choice["message"]["tool_calls"][0]["function"];
  EXPECT_EQ(call["name"], "weather");
  const Json arguments = Json::parse(call["arguments"].get<std::string>());
  EXPECT_TRUE(arguments["day"] == "today" || arguments["day"] == "tomorrow") << arguments;

  const auto all = events("/v1/chat/completions", body);
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[1]["choices"][0]["delta"]["tool_calls"][0]["function"], call);
  EXPECT_EQ(all[2]["choices"][0]["finish_reason"], "tool_calls");
}

TEST_F(GenerationApi, ATaskModelAnswersAChatWithItsLabel) {
  Json body = chat("tickets");
  body["logprobs"] = true;
  body["top_logprobs"] = 2;
  const Json whole = ok("/v1/chat/completions", body);
  const Json& choice = whole["choices"][0];
  EXPECT_EQ(choice["message"]["content"], "two \"quoted\"");  // 5 letters modulo 3
  EXPECT_EQ(choice["finish_reason"], "stop");
  const Json& logprob = choice["logprobs"]["content"][0];
  EXPECT_NEAR(logprob["logprob"].get<double>(), std::log(0.5), 1e-6);
  EXPECT_EQ(logprob["top_logprobs"].size(), 2U);
  EXPECT_EQ(whole["usage"]["prompt_tokens"], 7);
  const auto all = events("/v1/chat/completions", chat("tickets"));
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[1]["choices"][0]["delta"]["content"], "two \"quoted\"");
}

TEST_F(GenerationApi, WhatARequestUsedIsOnRecord) {
  const Json whole = ok("/v1/chat/completions", chat());
  events("/v1/chat/completions", chat());
  ok("/v1/chat/completions", chat("tickets"));
  server_->stop(std::chrono::seconds(5));  // a stream's record may come after its last byte
  ASSERT_EQ(records_.size(), 3U);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(records_[i].attempts.size(), 1U);
    const store::Attempt& attempt = records_[i].attempts[0];
    EXPECT_EQ(attempt.tokens.prompt, whole["usage"]["prompt_tokens"].get<std::int64_t>());
    EXPECT_EQ(attempt.tokens.completion, 12);
    EXPECT_GT(attempt.cpu_seconds, 0);
    EXPECT_EQ(records_[i].model, "made-up");
    EXPECT_EQ(records_[i].streamed, i == 1);
  }
  EXPECT_EQ(records_[2].attempts.at(0).tokens.completion, 1);
  EXPECT_GT(records_[2].attempts[0].tokens.prompt, 0);
}

TEST_F(GenerationApi, MetricsTellWhatRuns) {
  ok("/v1/chat/completions", chat());
  const auto got =
      net::fetch_blocking({.url = fmt::format("http://127.0.0.1:{}/metrics", server_->port())});
  ASSERT_TRUE(got);
  for (const char* line :
       {"tack_decoder_running{model=\"made-up\"} 0", "tack_kv_capacity_tokens{model=\"made-up\"} ",
        "tack_encoder_queue_texts 0",
        "tack_tokens_total{kind=\"completion\",model=\"made-up\"} 12"})
    EXPECT_NE(got->body.find(line), std::string::npos) << line << "\n" << got->body;
  EXPECT_EQ(got->body.find("tack_kv_tokens{model=\"made-up\"} 0\n"), std::string::npos);
}

TEST_F(GenerationApi, ShowsTheTokensOfPrompts) {
  const Json text = ok("/tokenize", {{"model", "made-up"}, {"prompt", "hi"}});
  EXPECT_EQ(text["count"], text["tokens"].size());
  EXPECT_EQ(text["max_model_len"], 4096);
  const Json bare =
      ok("/tokenize", {{"model", "made-up"}, {"prompt", "hi"}, {"add_special_tokens", false}});
  EXPECT_EQ(bare["tokens"], Json::parse("[104,105]"));
  Json conversation = {{"model", "made-up"}, {"messages", chat()["messages"]}};
  const Json whole = ok("/tokenize", conversation);
  // As many as the chat reads.
  EXPECT_EQ(whole["count"], ok("/v1/chat/completions", chat())["usage"]["prompt_tokens"]);
  conversation["add_generation_prompt"] = false;
  EXPECT_LT(ok("/tokenize", conversation)["count"], whole["count"]);
  EXPECT_EQ(ok("/detokenize", {{"model", "made-up"}, {"tokens", bare["tokens"]}})["prompt"], "hi");
  EXPECT_NE(refusal("/tokenize", {{"prompt", "hi"}}).find("'model' is missing"), std::string::npos);
}

TEST_F(GenerationApi, SaysWhatCannotBe) {
  EXPECT_NE(
      refusal("/v1/completions", {{"prompt", "x"}, {"model", "tickets"}}).find("does not generate"),
      std::string::npos);
  EXPECT_NE(
      refusal("/v1/chat/completions", {{"model", "nobody"}, {"messages", chat()["messages"]}}, 404)
          .find("does not exist"),
      std::string::npos);
  const auto with = [&](const char* key, const Json& value) {
    Json body = chat();
    body[key] = value;
    return refusal("/v1/chat/completions", body);
  };
  EXPECT_NE(with("n", 2).find("'n'"), std::string::npos);
  EXPECT_NE(with("messages", Json::array()).find("messages"), std::string::npos);
  EXPECT_NE(with("temperature", "hot").find("temperature"), std::string::npos);
  EXPECT_NE(with("top_p", 3).find("top_p"), std::string::npos);
  EXPECT_NE(with("stop", 3).find("stop"), std::string::npos);
  EXPECT_NE(with("tool_choice", "required").find("tool_choice"), std::string::npos);
  EXPECT_NE(with("top_logprobs", 3).find("logprobs"), std::string::npos);
  EXPECT_NE(with("response_format", {{"type", "xml"}}).find("response_format"), std::string::npos);
  EXPECT_NE(with("guided_choice", 3).find("guided_choice"), std::string::npos);
  Json long_prompt = chat();
  long_prompt["messages"][0]["content"] = std::string(5000, 'x');
  EXPECT_NE(refusal("/v1/chat/completions", long_prompt).find("context"), std::string::npos);
  EXPECT_NE(with("max_tokenz", 5).find("max_tokenz"), std::string::npos);
  Json forced = chat("tickets");
  forced["tools"] = weather_tools();
  forced["tool_choice"] = "required";
  EXPECT_NE(refusal("/v1/chat/completions", forced).find("calls no tools"), std::string::npos);
}

TEST_F(GenerationApi, AClientThatDoesNotWaitForItsWholeAnswerStopsIt) {
  Json body = chat();
  body["max_tokens"] = 4000;
  const auto got = net::fetch_blocking(
      {.method = "POST",
       .url = fmt::format("http://127.0.0.1:{}/v1/chat/completions", server_->port()),
       .body = to_text(body)},
      {.io_timeout = std::chrono::milliseconds(100)});
  EXPECT_FALSE(got);
  const auto idle = [&] { return decoders_->load(0).running == 0; };
  for (int i = 0; i < 100 && !idle(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_TRUE(idle());
  server_->stop(std::chrono::seconds(5));
  ASSERT_EQ(records_.size(), 1U);
  EXPECT_EQ(records_[0].status, 499);
}

TEST_F(GenerationApi, AClientThatLeavesStopsItsGeneration) {
  Json body = chat();
  body["max_tokens"] = 4000;
  body["stream"] = true;
  boost::asio::io_context loop;
  bool left = false;
  auto leave = [&]() -> net::Async<void> {
    net::ClientRequest request;
    request.method = "POST";
    request.url = fmt::format("http://127.0.0.1:{}/v1/chat/completions", server_->port());
    request.body = to_text(body);
    const net::OnData stop = [](const Response&, std::string_view) { return false; };
    const net::ClientOptions options;
    const auto got = co_await net::fetch_stream(request, stop, options);
    left = got.has_value();
  };
  boost::asio::co_spawn(loop, leave(), boost::asio::detached);
  loop.run();
  EXPECT_TRUE(left);
  // Both sequences are free again long before 4,000 tokens would be written.
  for (int i = 0; i < 3; ++i) ok("/v1/chat/completions", chat());
  SUCCEED();
}

}  // namespace
}  // namespace tack::server
