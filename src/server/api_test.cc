// The endpoints over HTTP, with a fake model behind them.
#include <future>
#include <optional>
#include <thread>

#include <gtest/gtest.h>

#include "net/client.h"
#include "net/server.h"
#include "server/app.h"
#include "server/fake_model.h"
#include "server/openai.h"

namespace tack::server {
namespace {

using net::Response;

class ApiTest : public ::testing::Test {
 protected:
  void start(bool two_models = false, QueueLimits limits = {}, bool two_heads = false) {
    std::vector<std::unique_ptr<ServedModel>> models;
    models.push_back(std::make_unique<FakeModel>(state, "tickets", true, two_heads));
    if (two_models) models.push_back(std::make_unique<FakeModel>(state, "plain", false));
    start(std::move(models), limits);
  }
  void start(std::vector<std::unique_ptr<ServedModel>> models, QueueLimits limits = {}) {
    service.emplace(std::move(models), limits);
    net::Router router;
    app.emplace(config, App::Parts{}, *service, decoders);
    app->add_routes(router);
    auto started = net::HttpServer::start({.body_limit = 100'000}, std::move(router));
    ASSERT_TRUE(started) << started.error().message;
    server = std::move(*started);
  }
  ~ApiTest() override {
    state.open();
    if (server) server->stop(std::chrono::seconds(2));
    service.reset();
  }

  Response call(std::string method, std::string path, std::string body = {}) {
    auto got =
        net::fetch_blocking({.method = std::move(method),
                             .url = fmt::format("http://127.0.0.1:{}{}", server->port(), path),
                             .body = std::move(body)});
    EXPECT_TRUE(got) << got.error().message;
    return got.value_or(Response{.status = -1});
  }
  Json ok(std::string path, std::string body) {
    const Response response = call("POST", std::move(path), std::move(body));
    EXPECT_EQ(response.status, 200) << response.body;
    return Json::parse(response.body);
  }
  // The error object of a refused request.
  Json refused(int status, std::string path, std::string body) {
    const Response response = call("POST", std::move(path), body);
    EXPECT_EQ(response.status, status) << body << " gave " << response.body;
    const Json json = Json::parse(response.body, nullptr, false);
    EXPECT_TRUE(json.is_object() && json.contains("error")) << response.body;
    const Json error = json.value("error", Json::object());
    EXPECT_TRUE(error.value("message", Json()).is_string());
    EXPECT_EQ(error.value("type", ""), status >= 500 ? "server_error" : "invalid_request_error");
    EXPECT_TRUE(error.contains("param") && error.contains("code"));
    return error;
  }

  FakeState state;
  const gateway::GatewayConfig config;
  std::optional<App> app;
  std::unique_ptr<net::HttpServer> server;  // destroyed after the service, before the app
  std::optional<EncoderService> service;
  GenerationService decoders{{}};
};

TEST_F(ApiTest, HealthAndModels) {
  start(true);
  EXPECT_EQ(Json::parse(call("GET", "/healthz").body)["status"], "ok");
  EXPECT_EQ(call("GET", "/readyz").status, 200);
  const Json list = Json::parse(call("GET", "/v1/models").body);
  EXPECT_EQ(list["object"], "list");
  ASSERT_EQ(list["data"].size(), 2u);
  const Json& first = list["data"][0];
  EXPECT_EQ(first["id"], "tickets");
  EXPECT_EQ(first["object"], "model");
  EXPECT_EQ(first["owned_by"], "tackhammer");
  EXPECT_EQ(first["created"], 1700000000);
  EXPECT_EQ(first["task"], "classify");
  EXPECT_EQ(first["labels"].size(), 3u);
  EXPECT_EQ(list["data"][1]["task"], "embed");
  EXPECT_EQ(Json::parse(call("GET", "/v1/models/plain").body), list["data"][1]);
  const Response missing = call("GET", "/v1/models/none");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(Json::parse(missing.body)["error"]["code"], "model_not_found");
  service->stop();
  EXPECT_EQ(call("GET", "/readyz").status, 503);
  EXPECT_EQ(call("GET", "/healthz").status, 200);
}

TEST_F(ApiTest, EmbedsEveryFormOfInput) {
  start();
  const Json one = ok("/v1/embeddings", R"({"model":"tickets","input":"abc","user":"u"})");
  EXPECT_EQ(one["object"], "list");
  EXPECT_EQ(one["model"], "tickets");
  ASSERT_EQ(one["data"].size(), 1u);
  EXPECT_EQ(one["data"][0]["object"], "embedding");
  EXPECT_EQ(one["data"][0]["index"], 0);
  EXPECT_EQ(one["data"][0]["embedding"], (Json{3.0, 97.0}));
  EXPECT_EQ(one["usage"]["prompt_tokens"], 5);
  EXPECT_EQ(one["usage"]["total_tokens"], 5);
  EXPECT_EQ(one["truncated"], 0);
  const Json two = ok("/v1/embeddings", R"({"input":["","hello world, long"]})");
  EXPECT_EQ(two["data"][1]["index"], 1);
  EXPECT_EQ(two["data"][1]["embedding"][0], 17.0);
  EXPECT_EQ(static_cast<float>(two["data"][0]["embedding"][1]), 0.1f);
  EXPECT_EQ(two["usage"]["prompt_tokens"], 2 + 10);
  EXPECT_EQ(two["truncated"], 1);
  const Json ids = ok("/v1/embeddings", R"({"input":[7,8,9]})");
  EXPECT_EQ(ids["data"][0]["embedding"], (Json{3.0, 7.0}));
  EXPECT_EQ(ids["usage"]["prompt_tokens"], 3);
  const Json lists = ok("/v1/embeddings", R"({"input":[[7],[99,8]],"dimensions":2})");
  EXPECT_EQ(lists["data"][1]["embedding"], (Json{2.0, 99.0}));
}

TEST_F(ApiTest, SendsBase64) {
  start();
  const Json json = ok("/v1/embeddings", R"({"input":"a","encoding_format":"base64"})");
  // python3: base64.b64encode(struct.pack('<2f', 1.0, 97.0))
  EXPECT_EQ(json["data"][0]["embedding"], "AACAPwAAwkI=");
}

TEST_F(ApiTest, FloatsComeBackExactly) {
  const float values[] = {0.1f, -1.0f / 3.0f, 1e-38f, 3.4028235e38f, -0.0f, 0.052340001f};
  const ModelInfo model{.id = "m", .embedding_dim = 6};
  const Embedded embedded{{std::begin(values), std::end(values)}, {{.tokens = 1}}};
  const Json json = Json::parse(embeddings_json(embedded, model, false));
  for (std::size_t i = 0; i < 6; ++i) {
    const auto back = static_cast<float>(json["data"][0]["embedding"][i].get<double>());
    EXPECT_EQ(back, values[i]);
  }
}

TEST_F(ApiTest, Classifies) {
  start();
  const Json json = ok("/v1/classify", R"({"input":["12345","?","1234567890"],"top_k":2})");
  ASSERT_EQ(json["data"].size(), 3u);
  const Json& first = json["data"][0];
  EXPECT_EQ(first["label"], "two \"quoted\"");
  EXPECT_EQ(first["probability"], 0.5);
  EXPECT_EQ(first["out_of_scope"], false);
  // Best first; equal ones in the order of the labels.
  EXPECT_EQ(first["probabilities"], Json::parse(R"([{"label":"two \"quoted\"","probability":0.5},
                                                    {"label":"zero","probability":0.25}])"));
  EXPECT_EQ(first["truncated_tokens"], 0);
  EXPECT_EQ(json["data"][1]["out_of_scope"], true);
  EXPECT_EQ(json["data"][1]["label"], "one");
  EXPECT_EQ(json["data"][2]["truncated_tokens"], 2);
  EXPECT_EQ(json["truncated"], 1);
  EXPECT_EQ(json["usage"]["total_tokens"], 7 + 3 + 10);
  EXPECT_EQ(json["model"], "tickets");
  const Json all = ok("/v1/classify", R"({"input":"abc","top_k":99,"model":"tickets"})");
  EXPECT_EQ(all["data"][0]["probabilities"].size(), 3u);
}

TEST(Classifications, OfAnyNumberOfLabelsAreLists) {
  ModelInfo model{.id = "sets", .labels = {"a", "b \"quoted\"", "c"}, .multilabel = true};
  Prediction two, none;
  two.probabilities = {0.75F, 0.125F, 0.875F};
  two.labels = {2, 0};
  two.tokens = 4;
  none.probabilities = {0.25F, 0.125F, 0.125F};
  none.tokens = 3;
  const Json json = Json::parse(classifications_json({two, none}, model, 2));
  EXPECT_EQ(json["data"][0]["labels"], Json::parse(R"([{"label":"c","probability":0.875},
                                                       {"label":"a","probability":0.75}])"));
  EXPECT_FALSE(json["data"][0].contains("label"));
  EXPECT_EQ(json["data"][1]["labels"], Json::array());
  EXPECT_EQ(json["data"][1]["probabilities"], Json::parse(R"([{"label":"a","probability":0.25},
                            {"label":"b \"quoted\"","probability":0.125}])"));
  EXPECT_EQ(json["usage"]["total_tokens"], 7);
  EXPECT_EQ(model_json(model)["task"], "multilabel");
}

TEST_F(ApiTest, AnswersEveryHeadOrTheOneAskedFor) {
  start(false, {.batch_texts = 2}, true);  // batches end between the texts of a request
  const Json json = ok("/v1/classify", R"({"input":["12345","?","1234567890"],"top_k":1})");
  ASSERT_EQ(json["data"].size(), 3u);
  EXPECT_EQ(json["data"][0]["heads"]["length"],
            Json::parse(R"({"label":"two \"quoted\"","probability":0.5,"out_of_scope":false,
                            "probabilities":[{"label":"two \"quoted\"","probability":0.5}]})"));
  EXPECT_EQ(json["data"][0]["heads"]["mark"]["label"], "plain");
  EXPECT_EQ(json["data"][1]["heads"]["mark"],
            Json::parse(R"({"label":"mark","probability":0.75,"out_of_scope":true,
                            "probabilities":[{"label":"mark","probability":0.75}]})"));
  EXPECT_EQ(json["data"][2]["heads"]["length"]["label"], "one");
  EXPECT_EQ(json["data"][2]["truncated_tokens"], 2);
  EXPECT_FALSE(json["data"][2].contains("label"));
  EXPECT_EQ(json["truncated"], 1);
  EXPECT_EQ(json["usage"]["total_tokens"], 7 + 3 + 10);

  const Json one = ok("/v1/classify", R"({"input":["12345","?"],"head":"mark"})");
  EXPECT_EQ(one["data"][1]["label"], "mark");
  EXPECT_EQ(one["data"][1]["probabilities"].size(), 2u);
  EXPECT_FALSE(one["data"][1].contains("heads"));

  const Json unknown = refused(400, "/v1/classify", R"({"input":"x","head":"colour"})");
  EXPECT_EQ(unknown["param"], "head");
  EXPECT_EQ(unknown["message"], "'tickets' has no head 'colour'; it has: length, mark");
  EXPECT_EQ(refused(400, "/v1/classify", R"({"input":"x","head":7})")["param"], "head");
  const Json model = Json::parse(call("GET", "/v1/models/tickets").body);
  EXPECT_EQ(model["heads"]["mark"], Json::parse(R"(["plain","mark"])"));
  EXPECT_FALSE(model.contains("labels"));
}

TEST_F(ApiTest, AModelOfOneHeadHasNoNameForIt) {
  start();
  EXPECT_EQ(refused(400, "/v1/classify", R"({"input":"x","head":"mark"})")["message"],
            "'tickets' has one head, without a name");
}

TEST_F(ApiTest, AnswersQuestions) {
  std::vector<std::unique_ptr<ServedModel>> models;
  models.push_back(std::make_unique<FakeModel>(state, "tickets", true));
  models.push_back(std::make_unique<FakeModel>(state, "squad", false, false, true));
  start(std::move(models));
  EXPECT_EQ(Json::parse(call("GET", "/v1/models/squad").body)["task"], "extract");
  const Json one = ok("/v1/extract", R"({"question": "who?", "context": "she"})");
  EXPECT_EQ(one["data"][0]["object"], "answer");
  EXPECT_EQ(one["data"][0]["answer"], "who?");
  EXPECT_EQ(one["usage"]["prompt_tokens"], 7);
  const Json two = ok("/v1/extract", R"({"model": "squad", "input": [
      {"question": "a", "context": "x"}, {"question": "b", "context": ""}]})");
  EXPECT_EQ(two["data"][1]["index"], 1);
  EXPECT_EQ(two["data"][1]["answer"], "b");
  EXPECT_EQ(two["data"][0]["of"], "x");
  EXPECT_EQ(two["truncated"], 1);
  const char* const path = "/v1/extract";
  EXPECT_EQ(refused(400, path, R"({"question": "a"})")["param"], "context");
  EXPECT_EQ(refused(400, path, R"({"context": "a"})")["param"], "question");
  EXPECT_EQ(refused(400, path, R"({"question": 1, "context": "a"})")["param"], "question");
  EXPECT_EQ(refused(400, path, R"({"input": []})")["param"], "input");
  EXPECT_EQ(refused(400, path, R"({"input": ["a"]})")["param"], "question");
  EXPECT_EQ(refused(400, path, R"({"input": "a"})")["param"], "input");
  refused(400, path, R"({"model": "tickets", "question": "a", "context": "b"})");
  refused(500, path, R"({"question": "bad", "context": "b"})");
  EXPECT_EQ(ok(path, R"({"question": "a", "context": "b"})")["data"].size(), 1u);
}

TEST_F(ApiTest, RefusesBadRequestsAndGoesOn) {
  start();
  const std::string e = "/v1/embeddings", c = "/v1/classify";
  for (const std::string& path : {e, c}) {
    for (const char* body :
         {"", "{", "[]", "\"x\"", "{\"input\":}", "\xff\xfe", "{\"input\":\"\xff\"}"})
      refused(400, path, body);
    for (const char* body :
         {R"({})", R"({"input":null})", R"({"input":5})", R"({"input":{}})", R"({"input":[]})",
          R"({"input":["a",1]})", R"({"input":[null]})", R"({"input":["a",["b"]]})"})
      EXPECT_EQ(refused(400, path, body)["param"], "input") << body;
    EXPECT_EQ(refused(400, path, R"({"input":"a","model":3})")["param"], "model");
    const Json unknown = refused(404, path, R"({"input":"a","model":"gpt"})");
    EXPECT_EQ(unknown["code"], "model_not_found");
    EXPECT_EQ(unknown["param"], "model");
    EXPECT_NE(unknown["message"].get<std::string>().find("tickets"), std::string::npos);
    refused(400, path, std::string(200, '[') + std::string(200, ']'));
    refused(413, path, std::string(100'001, ' '));
    std::string many = R"({"input":["")";
    for (int i = 0; i < 2048; ++i) many += ",\"\"";
    EXPECT_EQ(refused(400, path, many + "]}")["param"], "input");
  }
  for (const char* body : {R"({"input":[1,-1]})", R"({"input":[1.5]})", R"({"input":[1,100]})",
                           R"({"input":[[]]})", R"({"input":[99999999999999999999]})",
                           R"({"input":[4294967297]})", R"({"input":[1,2,3,4,5,6,7,8,9,10,11]})"})
    EXPECT_EQ(refused(400, e, body)["param"], "input") << body;
  EXPECT_EQ(refused(400, e, R"({"input":"a","encoding_format":"hex"})")["param"],
            "encoding_format");
  for (const char* body : {R"({"input":"a","dimensions":64})", R"({"input":"a","dimensions":0})",
                           R"({"input":"a","dimensions":"2"})"})
    EXPECT_EQ(refused(400, e, body)["param"], "dimensions") << body;
  for (const char* body : {R"({"input":"a","top_k":0})", R"({"input":"a","top_k":1.5})",
                           R"({"input":"a","top_k":18446744073709551615})"})
    EXPECT_EQ(refused(400, c, body)["param"], "top_k") << body;
  refused(500, c, R"({"input":"bad"})");
  refused(404, "/v1/none", "{}");
  refused(405, "/v1/models", "{}");
  EXPECT_EQ(ok(c, R"({"input":"abc"})")["data"][0]["label"], "zero");
}

TEST_F(ApiTest, AnswersDecisions) {
  start(false, {}, true);
  const Json json = ok("/v1/decisions", R"({"model":"tickets","input":"12345","questions":[
      {"type":"choice","name":"length","instructions":"?",
       "choices":[{"value":"zero"},{"value":"two \"quoted\""}]},
      {"type":"predicate","instructions":"plain"},
      {"type":"predicate","instructions":"purple"}]})");
  EXPECT_EQ(json["answers"][0]["choice"], "two \"quoted\"");
  EXPECT_NEAR(json["answers"][0]["confidence"].get<double>(), 2.0 / 3, 1e-9);
  EXPECT_EQ(json["answers"][1]["probability"], 0.75);
  EXPECT_EQ(json["answers"][2], Json::parse(R"({"type":"refusal","name":null})"));
  EXPECT_EQ(json["usage"]["total_tokens"], 7 + 2);
  EXPECT_EQ(refused(404, "/v1/decisions", R"({"model":"gpt-6-luna","input":"x","questions":[
      {"type":"predicate","instructions":"plain"}]})")["code"],
            "model_not_found");
}

TEST_F(ApiTest, ComparesTexts) {
  start(true);
  // The fake embedding of a text is its length and its first letter.
  const char* const body = R"({"model":"plain","query":"aa","documents":["bb","aa"],"top_n":1})";
  for (const char* path : {"/v1/rerank", "/rerank"}) {
    const Json json = ok(path, body);
    EXPECT_EQ(json["results"][0]["index"], 1);
    EXPECT_NEAR(json["results"][0]["relevance_score"].get<double>(), 1, 1e-6);
    EXPECT_EQ(json["usage"]["prompt_tokens"], 12);
  }
  for (const char* path : {"/v1/score", "/score"})
    EXPECT_NEAR(ok(path, R"({"model":"plain","text_1":"aa","text_2":"aa"})")["data"][0]["score"]
                    .get<double>(),
                1, 1e-6);
  EXPECT_EQ(refused(400, "/rerank", R"({"query":"a","documents":["b"]})")["param"], "model");
}

TEST_F(ApiTest, ShowsTokens) {
  start();
  const Json framed = ok("/tokenize", R"({"prompt":"ab","return_token_strs":true})");
  EXPECT_EQ(framed, Json::parse(R"({"count":4,"max_model_len":10,"tokens":[1,3,6,2],
                                    "token_strs":["[CLS]","a","##b","[SEP]"]})"));
  const Json bare = ok("/tokenize", R"({"model":"tickets","prompt":"ab",
                                        "add_special_tokens":false})");
  EXPECT_EQ(bare["tokens"], Json::parse("[3,6]"));
  const Json of_user = ok("/tokenize", R"({"messages":[{"role":"user","content":"ab"},
                                                       {"role":"assistant","content":"x"}]})");
  EXPECT_EQ(of_user["tokens"], framed["tokens"]);
  EXPECT_EQ(ok("/detokenize", R"({"tokens":[1,3,6,2]})"), Json::parse(R"({"prompt":"ab"})"));
  const auto param = [&](const char* path, const char* body) {
    return refused(400, path, body)["param"];
  };
  EXPECT_EQ(param("/tokenize", "{}"), "prompt");
  EXPECT_EQ(param("/tokenize", R"({"prompt":"a","messages":[]})"), "prompt");
  EXPECT_EQ(param("/tokenize", R"({"prompt":["a"]})"), "prompt");
  EXPECT_EQ(param("/tokenize", R"({"messages":[{"role":"system","content":"x"}]})"), "messages");
  EXPECT_EQ(param("/tokenize", R"({"prompt":"a","truncate":1})"), "truncate");
  EXPECT_EQ(param("/detokenize", R"({"tokens":[99]})"), "tokens");
  EXPECT_EQ(param("/detokenize", R"({"tokens":[-1]})"), "tokens");
  EXPECT_EQ(param("/detokenize", R"({"tokens":"a"})"), "tokens");
  refused(404, "/detokenize", R"({"model":"none","tokens":[1]})");
}

TEST_F(ApiTest, NamesUnknownMembersAndPaths) {
  start();
  // Of completions only once a model is found: an upstream may know the member.
  for (const char* path :
       {"/v1/embeddings", "/v1/classify", "/v1/tag", "/v1/extract", "/v1/decisions", "/v1/rerank",
        "/v1/score", "/tokenize", "/detokenize", "/v1/chat/completions"}) {
    const Json error = refused(400, path, R"({"colour":"blue"})");
    EXPECT_EQ(error["param"], "colour") << path;
    EXPECT_EQ(error["code"], "unknown_parameter") << path;
  }
  EXPECT_EQ(refused(400, "/v1/tag", R"({"input":"x","top_k":1})")["param"], "top_k");
  EXPECT_EQ(refused(404, "/v1/none", "{}")["code"], "unknown_url");
  EXPECT_EQ(refused(405, "/v1/models", "{}")["code"], "method_not_supported");
  const Json missing = refused(404, "/v1/classify", R"({"input":"x","model":"gpt-4o"})");
  EXPECT_EQ(missing["message"],
            "the model 'gpt-4o' does not exist; served here: tickets. `tack serve NAME` serves a "
            "model by its file or short name, `tack build` makes one");
}

TEST_F(ApiTest, DescribesItself) {
  start();
  const Response response = call("GET", "/openapi.json");
  EXPECT_EQ(response.status, 200);
  EXPECT_TRUE(Json::parse(response.body)["paths"].contains("/openapi.json"));
  EXPECT_EQ(Json::parse(call("GET", "/health").body)["status"], "ok");
}

TEST_F(ApiTest, SeveralModelsMustBeNamed) {
  start(true);
  EXPECT_EQ(refused(400, "/v1/embeddings", R"({"input":"a"})")["param"], "model");
  EXPECT_EQ(ok("/v1/embeddings", R"({"input":"a","model":"plain"})")["model"], "plain");
  // Only one of them classifies: no need to name it.
  EXPECT_EQ(ok("/v1/classify", R"({"input":"a"})")["model"], "tickets");
  EXPECT_EQ(refused(400, "/v1/classify", R"({"input":"a","model":"plain"})")["param"], "model");
}

TEST_F(ApiTest, OverloadIs503WithRetryAfter) {
  start(false, {.waiting_texts = 1});
  state.close();
  auto first = std::async(std::launch::async,
                          [&] { return call("POST", "/v1/classify", R"({"input":"abc"})"); });
  state.await_batch_at_gate();
  const Response second = call("POST", "/v1/classify", R"({"input":"abc"})");
  EXPECT_EQ(second.status, 503);
  ASSERT_NE(second.headers.find("Retry-After"), nullptr);
  EXPECT_EQ(Json::parse(second.body)["error"]["code"], "overloaded");
  state.open();
  EXPECT_EQ(first.get().status, 200);
}

TEST_F(ApiTest, ServerStopWaitsForTheEngine) {
  start();
  state.close();
  auto asked = std::async(std::launch::async,
                          [&] { return call("POST", "/v1/classify", R"({"input":"abc"})"); });
  state.await_batch_at_gate();
  std::thread opener([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    state.open();
  });
  EXPECT_TRUE(server->stop(std::chrono::seconds(3)));
  opener.join();
  EXPECT_EQ(asked.get().status, 200);
}

TEST_F(ApiTest, AStuckEngineDoesNotKeepTheServer) {
  start();
  state.close();
  auto asked = std::async(std::launch::async, [this] {
    return net::fetch_blocking(
        {.method = "POST",
         .url = fmt::format("http://127.0.0.1:{}/v1/classify", server->port()),
         .body = R"({"input":"abc"})"});
  });
  state.await_batch_at_gate();
  EXPECT_FALSE(server->stop(std::chrono::milliseconds(50)));
  EXPECT_FALSE(asked.get());
  state.open();
  service->stop();
}

}  // namespace
}  // namespace tack::server
