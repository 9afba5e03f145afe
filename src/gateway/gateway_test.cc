// The gateway over models and upstreams that say what a test wants: who is asked, what the client
// gets, what is on record.
#include "gateway/gateway.h"

#include <deque>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>
#include <unistd.h>

namespace tack::gateway {
namespace {

using net::Async;
using net::Response;
using store::CallRecord;
using store::Purpose;

// What a model does when it is asked.
struct Script {
  std::string text = "yes";
  double confidence = 1;
  std::optional<Failure> failure;       // instead of an answer
  std::optional<Failure> breaks_after;  // of a stream: after the first word
  store::TokenUse tokens = {.prompt = 100, .completion = 10};
  bool task_model = false;
  int empty_events = 0;  // of a stream: before the answer
};

std::string chunk(std::string_view content, const Json& reason = nullptr) {
  Json delta = Json::object();
  if (!content.empty()) delta["content"] = content;
  return to_text(
      {{"object", "chat.completion.chunk"},
       {"choices", Json::array({{{"index", 0}, {"delta", delta}, {"finish_reason", reason}}})}});
}

class ScriptedEvents final : public EventStream {
 public:
  explicit ScriptedEvents(const Script& script) : script_(script) {
    events_ = {R"({"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]})",
               chunk(script.text), chunk("", "stop")};
    if (script.breaks_after) events_.pop_back();
    const std::string empty = R"({"choices":[],"padding":")" + std::string(200, ' ') + "\"}";
    events_.insert(events_.begin(), static_cast<std::size_t>(script.empty_events), empty);
  }
  Async<Expected<std::optional<std::string>>> next() override {
    if (!events_.empty()) {
      std::optional<std::string> event = std::move(events_.front());
      events_.pop_front();
      co_return event;
    }
    if (script_.breaks_after) co_return std::unexpected(*script_.breaks_after);
    co_return std::nullopt;
  }
  Outcome outcome() const override {
    return {.tokens = script_.tokens,
            .finish_reason = "stop",
            .confidence = script_.confidence,
            .whole_prompt = !script_.task_model};
  }

 private:
  const Script script_;
  std::deque<std::string> events_;
};

Expected<Reply> play(const Script& script, const Call& call) {
  if (script.failure) return std::unexpected(*script.failure);
  if (call.stream) return Reply{.events = std::make_unique<ScriptedEvents>(script), .outcome = {}};
  const Json body = {
      {"object", "chat.completion"},
      {"choices", Json::array({{{"index", 0},
                                {"message", {{"role", "assistant"}, {"content", script.text}}},
                                {"finish_reason", "stop"}}})}};
  return Reply{.body = to_text(body), .outcome = ScriptedEvents(script).outcome()};
}

class Locals final : public LocalModels {
 public:
  std::map<std::string, Script, std::less<>> models;
  std::vector<std::string> asked;
  Intent says;

  bool serves(std::string_view model) const override { return models.find(model) != models.end(); }
  Expected<std::string> only_model(Operation) const override {
    if (models.size() == 1) return models.begin()->first;
    return std::unexpected(Failure{.status = 400, .message = "'model' is missing"});
  }
  Failure no_such_model(std::string_view name) const override {
    return {.status = 404,
            .message = fmt::format("the model '{}' does not exist", name),
            .code = "model_not_found",
            .another_may_answer = false};
  }
  Async<Expected<Reply>> answer(std::shared_ptr<const Call> call, std::string model) override {
    asked.push_back(model);
    auto reply = play(models.at(model), *call);
    co_return reply;
  }
  Async<Expected<Intent>> intent(std::string, std::string) override { co_return says; }
  Async<Expected<guard::Answer>> ask(guard::Question) override { co_return guard::Answer{}; }
  Async<Expected<std::vector<float>>> embed(std::string, std::string, std::int64_t) override {
    co_return std::vector<float>{1};
  }
};

// The bytes of a streamed body; `leave_after` writes the client is gone.
struct Collected final : net::ResponseStream {
  std::string bytes;
  int writes = 0, leave_after = 1000;
  Async<bool> write(std::string more) override {
    bytes += more;
    co_return ++writes < leave_after;
  }
};

class GatewayTest : public ::testing::Test {
 protected:
  GatewayTest() {
    locals_.models["small"] = {};
    config_.models.push_back({.name = "small"});
    config_.upstreams.push_back(
        {.name = "big",
         .base_url = "http://unused",
         .prices = {{"one", {.input = 2, .output = 8}}, {"two", {.input = 10, .output = 10}}}});
    upstream_["one"] = {.text = "no"};
    upstream_["two"] = {.text = "perhaps"};
  }

  RouteConfig& route(std::vector<std::string> to) {
    config_.routes.push_back({.name = "auto", .to = {.models = std::move(to)}});
    config_.routes.back().baseline = "big/one";
    return config_.routes.back();
  }

  Response ask(Json body, net::Headers headers = {}) {
    if (!gateway_) {
      SendUpstream send = [this](ClearedCall cleared) {
        return upstream_answer(std::move(cleared));
      };
      gateway_.emplace(
          Services{.config = config_,
                   .locals = locals_,
                   .upstreams = {{"big", send}},
                   .learned = {},
                   .record = [this](CallRecord r) { records_.push_back(std::move(r)); },
                   .keys = keys_.get(),
                   .limiter = &limiter_});
    }
    if (!body.contains("messages"))
      body["messages"] = Json::array({{{"role", "user"}, {"content", "Is it a card?"}}});
    Response response;
    bool done = false;
    const auto run = [&]() -> Async<void> {
      net::Request request{.method = "POST", .headers = headers, .body = to_text(body)};
      response = co_await gateway_->handle(Operation::kChat, std::move(request));
      if (response.stream) {
        // The handler's own frame goes first, as in the server.
        net::StreamProducer producer = std::exchange(response.stream, nullptr);
        co_await producer(collected_);
        response.body = collected_.bytes;
      }
      done = true;
    };
    boost::asio::io_context io;
    boost::asio::co_spawn(io, run(), [](std::exception_ptr e) {
      if (e) std::rethrow_exception(e);
    });
    io.run();
    EXPECT_TRUE(done);
    return response;
  }
  static std::string said(const Response& response) {
    return Json::parse(response.body)["choices"][0]["message"]["content"];
  }
  static std::string header(const Response& response, std::string_view name) {
    const std::string* value = response.headers.find(name);
    return value != nullptr ? *value : "";
  }

  Async<Expected<Reply>> upstream_answer(ClearedCall cleared) {
    locals_.asked.push_back("big/" + cleared.model());
    auto reply = play(upstream_.at(cleared.model()), cleared.call());
    co_return reply;
  }

  // A key, and the headers that bring it.
  net::Headers with_key(Key key) {
    const std::string secret = *make_key();
    key.name = "shop";
    key.hash = sha256(secret);
    EXPECT_TRUE(write_keys(key_file_, {key}));
    keys_ = *KeyRing::open(key_file_);
    net::Headers headers;
    headers.set("Authorization", "Bearer " + secret);
    return headers;
  }
  ~GatewayTest() override { std::filesystem::remove(key_file_); }

  const std::filesystem::path key_file_ =
      std::filesystem::temp_directory_path() / ("tack_gateway_keys_" + std::to_string(::getpid()));
  std::unique_ptr<KeyRing> keys_;
  RateLimiter limiter_;
  GatewayConfig config_;
  Locals locals_;
  std::map<std::string, Script> upstream_;
  std::vector<CallRecord> records_;
  Collected collected_;
  std::optional<Gateway> gateway_;
};

using Names = std::vector<std::string>;

TEST_F(GatewayTest, AModelIsAddressedByItsName) {
  const Response local = ask({{"model", "small"}});
  EXPECT_EQ(said(local), "yes");
  EXPECT_EQ(header(local, "x-tack-model"), "small");
  EXPECT_EQ(header(local, "x-tack-reason"), "addressed by its name");
  EXPECT_FALSE(header(local, "x-request-id").empty());
  EXPECT_EQ(said(ask({{"model", "big/one"}})), "no");
  EXPECT_EQ(said(ask(Json::object())), "yes");  // the only one here
  EXPECT_EQ(locals_.asked, (Names{"small", "big/one", "small"}));
  ASSERT_EQ(records_.size(), 3U);
  EXPECT_EQ(records_[1].cost(), 100 * 2000 + 10 * 8000);
  EXPECT_EQ(records_[1].savings(), 0);
  EXPECT_TRUE(records_[0].attempts[0].local);
}

TEST_F(GatewayTest, WhatIsNotThereIsSaid) {
  for (const char* name : {"none", "auto", "other/one"}) {
    const Response response = ask({{"model", name}});
    EXPECT_EQ(response.status, 404) << name;
    EXPECT_EQ(Json::parse(response.body)["error"]["code"], "model_not_found");
  }
  EXPECT_EQ(ask({{"model", 7}}).status, 400);
  EXPECT_EQ(ask({{"model", std::string(300, 'x')}}).status, 400);
  EXPECT_TRUE(records_.empty());  // no model was asked
}

TEST_F(GatewayTest, RulesDecideInTheirOrder) {
  RouteConfig& auto_route = route({"big/one"});
  auto_route.rules = {{.name = "long", .min_chars = 100, .to = {.models = {"big/two"}}},
                      {.name = "cards", .contains = {"card"}, .to = {.models = {"small"}}}};
  const Response card = ask({{"model", "auto"}});
  EXPECT_EQ(header(card, "x-tack-route"), "auto");
  EXPECT_EQ(header(card, "x-tack-reason"), "rule 'cards': says 'card'");
  const auto message = [](std::string text) {
    return Json::array({{{"role", "user"}, {"content", std::move(text)}}});
  };
  EXPECT_EQ(said(ask({{"model", "auto"}, {"messages", message(std::string(100, 'x'))}})),
            "perhaps");
  EXPECT_EQ(said(ask({{"model", "auto"}, {"messages", message("Cardigan")}})), "no");
  EXPECT_EQ(said(ask({{"messages", message("no model is named")}})), "no");
  EXPECT_EQ(records_[1].reason, "rule 'long': 100 characters");
}

TEST_F(GatewayTest, AnIntentDecides) {
  RouteConfig& auto_route = route({"big/one"});
  auto_route.rules = {
      {.name = "known",
       .intent =
           RuleConfig::Intent{.model = "small", .labels = {"lost_card"}, .min_probability = 0.8},
       .to = {.models = {"small"}}}};
  locals_.says = {.label = "lost_card", .probability = 0.9};
  EXPECT_EQ(said(ask({{"model", "auto"}})), "yes");
  locals_.says.probability = 0.7;
  EXPECT_EQ(said(ask({{"model", "auto"}})), "no");
  locals_.says = {.label = "lost_card", .probability = 0.9, .out_of_scope = true};
  EXPECT_EQ(said(ask({{"model", "auto"}})), "no");
}

TEST_F(GatewayTest, FailsOverBeforeTheFirstToken) {
  route({"big/one", "big/two", "small"});
  upstream_["one"].failure = Failure{.status = 503, .message = "busy"};
  upstream_["two"].failure = Failure{.status = 502, .message = "broken"};
  const Response whole = ask({{"model", "auto"}});
  EXPECT_EQ(said(whole), "yes");
  EXPECT_EQ(header(whole, "x-tack-model"), "small");
  ASSERT_EQ(records_[0].attempts.size(), 3U);
  EXPECT_EQ(records_[0].attempts[0].purpose, Purpose::kFailed);
  EXPECT_EQ(records_[0].attempts[0].status, 503);
  EXPECT_EQ(records_[0].attempts[2].purpose, Purpose::kAnswer);

  // A stream that ends after the role has not begun to answer.
  upstream_["one"] = {.text = "", .breaks_after = Failure{.status = 502, .message = "cut"}};
  const Response stream = ask({{"model", "auto"}, {"stream", true}});
  EXPECT_NE(stream.body.find(R"("content":"yes")"), std::string::npos) << stream.body;
  EXPECT_EQ(stream.body.find("cut"), std::string::npos);
}

TEST_F(GatewayTest, AnErrorAfterTheFirstTokenIsTyped) {
  route({"big/one", "small"});
  upstream_["one"].breaks_after =
      Failure{.status = 502, .message = "the stream was cut", .type = "upstream_error"};
  const Response response = ask({{"model", "auto"}, {"stream", true}});
  EXPECT_EQ(response.status, 200);
  EXPECT_NE(
      response.body.find(R"({"error":{"message":"the stream was cut","type":"upstream_error")"),
      std::string::npos)
      << response.body;
  EXPECT_EQ(locals_.asked, Names{"big/one"});
  EXPECT_EQ(records_.at(0).status, 502);
  EXPECT_EQ(records_[0].attempts.at(0).purpose, Purpose::kFailed);
  EXPECT_GT(records_[0].cost(), 0);
}

TEST_F(GatewayTest, AWrongRequestIsNotTriedElsewhere) {
  route({"big/one", "small"});
  upstream_["one"].failure = Failure{.status = 400,
                                     .message = "temperature is too high",
                                     .type = "invalid_request_error",
                                     .param = "temperature",
                                     .another_may_answer = false};
  const Response response = ask({{"model", "auto"}});
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(Json::parse(response.body)["error"]["param"], "temperature");
  EXPECT_EQ(locals_.asked, Names{"big/one"});
}

TEST_F(GatewayTest, ACascadeAsksOnWhenTheFirstIsUnsure) {
  RouteConfig& cascade = route({"small", "big/one"});
  cascade.to.min_confidence = 0.8;
  for (const bool stream : {false, true}) {
    locals_.models["small"].confidence = 0.9;
    const Response sure = ask({{"model", "auto"}, {"stream", stream}});
    EXPECT_NE(sure.body.find("yes"), std::string::npos);
    locals_.models["small"].confidence = 0.5;
    const Response unsure = ask({{"model", "auto"}, {"stream", stream}});
    EXPECT_EQ(unsure.body.substr(unsure.body.size() / 2).find("yes"), std::string::npos);
    EXPECT_EQ(header(unsure, "x-tack-model"), "big/one");
  }
  ASSERT_EQ(records_.size(), 4U);
  EXPECT_EQ(records_[1].attempts[0].purpose, Purpose::kEscalated);
  EXPECT_EQ(records_[1].attempts[1].purpose, Purpose::kAnswer);
  locals_.models["small"].confidence = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(said(ask({{"model", "auto"}})), "no");
}

TEST_F(GatewayTest, SavingsCountEveryAttemptAndCanBeNegative) {
  RouteConfig& cascade = route({"big/two", "big/one"});
  cascade.to.min_confidence = 0.8;
  upstream_["two"].confidence = 0.1;
  ask({{"model", "auto"}});
  const CallRecord& lost = records_.at(0);
  EXPECT_EQ(lost.cost(), (100 * 2000 + 10 * 8000) + (100 * 10000 + 10 * 10000));
  EXPECT_EQ(lost.baseline_cost, 100 * 2000 + 10 * 8000);
  EXPECT_EQ(lost.savings(), -(100 * 10000 + 10 * 10000));
  EXPECT_FALSE(lost.baseline_tokens.estimated);
  upstream_["two"].failure = Failure{.status = 503};
  upstream_["one"].failure = Failure{.status = 503};
  ask({{"model", "auto"}});
  EXPECT_EQ(records_.at(1).savings(), 0);  // nothing was answered
}

TEST_F(GatewayTest, ATaskModelsPromptIsCountedAsTheBaselineWouldReadIt) {
  route({"small"});
  locals_.models["small"].task_model = true;
  locals_.models["small"].tokens = {.prompt = 6, .completion = 1};
  ask({{"model", "auto"},
       {"messages", Json::array({{{"role", "system"}, {"content", std::string(399, 's')}},
                                 {{"role", "user"}, {"content", std::string(400, 'u')}}})}});
  EXPECT_EQ(records_.at(0).baseline_tokens.prompt, 200);  // 800 bytes
  EXPECT_TRUE(records_[0].baseline_tokens.estimated);
  EXPECT_EQ(records_[0].savings(), 200 * 2000 + 8000);
}

TEST_F(GatewayTest, AShadowRunsBesideTheAnswer) {
  RouteConfig& shadowed = route({"big/one"});
  shadowed.shadow = ShadowConfig{.model = "small"};
  for (const bool stream : {false, true}) {
    locals_.models["small"].text = "No. ";
    const Response response = ask({{"model", "auto"}, {"stream", stream}});
    EXPECT_EQ(response.body.find("No."), std::string::npos);
    locals_.models["small"].text = "yes";
    ask({{"model", "auto"}, {"stream", stream}});
  }
  ASSERT_EQ(records_.size(), 4U);
  for (const CallRecord& record : records_) {
    ASSERT_EQ(record.attempts.size(), 2U);
    EXPECT_EQ(std::ranges::count(record.attempts, Purpose::kShadow, &store::Attempt::purpose), 1);
  }
  EXPECT_EQ(records_[0].agreed, true);
  EXPECT_EQ(records_[1].agreed, false);
  EXPECT_EQ(records_[2].agreed, true);
  EXPECT_EQ(records_[3].agreed, false);
  shadowed.shadow->share = 0;
  ask({{"model", "auto"}});
  EXPECT_EQ(records_.back().attempts.size(), 1U);
}

TEST_F(GatewayTest, AnAnswerComesFromTheCache) {
  config_.cache.max_bytes = 1 << 20;
  route({"big/one"});
  for (const bool stream : {false, true}) {
    const Response first = ask({{"model", "auto"}, {"stream", stream}});
    collected_ = {};
    const Response second = ask({{"stream", stream}, {"model", "auto"}});
    EXPECT_EQ(first.body, second.body);
    EXPECT_EQ(header(second, "x-tack-cache"), "hit");
    EXPECT_EQ(header(second, "x-tack-model"), "big/one");
    collected_ = {};
  }
  EXPECT_EQ(locals_.asked.size(), 2U);
  EXPECT_TRUE(records_[1].from_cache);
  EXPECT_EQ(records_[1].cost(), 0);
  EXPECT_EQ(records_[1].savings(), 100 * 2000 + 10 * 8000);
  EXPECT_EQ(said(ask({{"model", "auto"}, {"temperature", 1}})), "no");
  EXPECT_EQ(locals_.asked.size(), 3U);
  // A failure is not kept.
  upstream_["one"].failure = Failure{.status = 503};
  ask({{"model", "auto"}, {"seed", 1}});
  upstream_["one"].failure.reset();
  EXPECT_EQ(ask({{"model", "auto"}, {"seed", 1}}).status, 200);
}

TEST_F(GatewayTest, WhatStoodInForAnotherIsNotKept) {
  config_.cache.max_bytes = 1 << 20;
  route({"big/one", "small"});
  upstream_["one"].failure = Failure{.status = 503};
  EXPECT_EQ(said(ask({{"model", "auto"}})), "yes");
  upstream_["one"].failure.reset();
  EXPECT_EQ(said(ask({{"model", "auto"}})), "no");
}

TEST_F(GatewayTest, AnAnswerThatNeverBeginsIsGivenUp) {
  route({"big/one", "small"});
  upstream_["one"] = {.text = "", .empty_events = 100'000};
  const Response response = ask({{"model", "auto"}, {"stream", true}});
  EXPECT_NE(response.body.find("yes"), std::string::npos);
  EXPECT_EQ(records_.at(0).attempts.at(0).purpose, Purpose::kFailed);
}

TEST_F(GatewayTest, TheBaselineThatRanBesideSaysWhatItUsed) {
  RouteConfig& shadowed = route({"small"});
  shadowed.shadow = ShadowConfig{.model = "big/one"};
  locals_.models["small"].tokens = {.prompt = 7, .completion = 1};
  ask({{"model", "auto"}});
  EXPECT_EQ(records_.at(0).baseline_tokens.prompt, 100);
  EXPECT_FALSE(records_[0].baseline_tokens.estimated);
  EXPECT_EQ(records_[0].savings(), 0);  // it was asked, and billed
}

TEST_F(GatewayTest, AResponseThatIsNeverSentIsCounted) {
  ask({{"model", "small"}});
  const auto drop = [&]() -> Async<void> {
    const Json body = {{"model", "small"},
                       {"stream", true},
                       {"messages", Json::array({{{"role", "user"}, {"content", "x"}}})}};
    net::Request request{.method = "POST", .body = to_text(body)};
    const Response response = co_await gateway_->handle(Operation::kChat, std::move(request));
    EXPECT_EQ(response.status, 200);
  };
  boost::asio::io_context io;
  boost::asio::co_spawn(io, drop(), [](std::exception_ptr) {});
  io.run();
  ASSERT_EQ(records_.size(), 2U);
  EXPECT_EQ(records_[1].status, 499);
  EXPECT_EQ(records_[1].attempts.size(), 1U);
}

TEST_F(GatewayTest, AClientThatLeavesIsOnRecord) {
  collected_.leave_after = 1;
  ask({{"model", "small"}, {"stream", true}});
  EXPECT_EQ(records_.at(0).status, 499);
  EXPECT_EQ(records_[0].attempts.size(), 1U);
}

TEST_F(GatewayTest, ContentsAreKeptOnlyWhenAskedFor) {
  ask({{"model", "small"}});
  EXPECT_FALSE(records_.at(0).request || records_[0].response);
  gateway_.reset();
  config_.ledger.content = true;
  ask({{"model", "small"}, {"stream", true}});
  ASSERT_TRUE(records_.at(1).response);
  const Json whole = Json::parse(*records_[1].response);
  EXPECT_EQ(whole["choices"][0]["message"]["content"], "yes");
  EXPECT_EQ(whole["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(Json::parse(*records_[1].request)["messages"][0]["content"], "Is it a card?");
}

TEST_F(GatewayTest, AKeyIsAskedFor) {
  const net::Headers headers = with_key({});
  const Response without = ask({{"model", "small"}});
  EXPECT_EQ(without.status, 401);
  EXPECT_EQ(Json::parse(without.body)["error"]["code"], "invalid_api_key");
  EXPECT_TRUE(locals_.asked.empty());
  EXPECT_EQ(ask({{"model", "small"}}, headers).status, 200);
  ASSERT_EQ(records_.size(), 1U);
  EXPECT_EQ(records_[0].client, "shop");
}

TEST_F(GatewayTest, AKeyLimitsRequestsAndTokens) {
  const net::Headers headers = with_key({.requests_per_minute = 2, .tokens_per_minute = 1000});
  const Response first = ask({{"model", "small"}}, headers);
  EXPECT_EQ(header(first, "x-ratelimit-limit-requests"), "2");
  EXPECT_EQ(header(first, "x-ratelimit-remaining-requests"), "1");
  const Response second = ask({{"model", "small"}}, headers);
  EXPECT_EQ(header(second, "x-ratelimit-remaining-tokens"), "890");  // 110 of the first
  const Response third = ask({{"model", "small"}}, headers);
  EXPECT_EQ(third.status, 429);
  EXPECT_FALSE(header(third, "Retry-After").empty());
  EXPECT_EQ(records_.size(), 2U);
}

TEST_F(GatewayTest, AKeyMayBeKeptToModelsAndFromUpstreams) {
  route({"big/one", "small"});
  net::Headers headers =
      with_key({.privacy = PrivacyMode::kLocalOnly, .models = {"auto", "small"}});
  const Response response = ask({{"model", "auto"}}, headers);
  EXPECT_EQ(said(response), "yes");
  EXPECT_EQ(locals_.asked, Names{"small"});  // nothing left
  EXPECT_EQ(ask({{"model", "big/one"}}, headers).status, 403);
  gateway_.reset();
  keys_.reset();
  headers.set("x-tack-local-only", "yes");
  EXPECT_EQ(said(ask({{"model", "auto"}}, headers)), "yes");
  EXPECT_EQ(ask({{"model", "big/one"}}, headers).status, 403);
  EXPECT_EQ(std::ranges::count(locals_.asked, "big/one"), 0);
}

TEST_F(GatewayTest, LocalEndpointsHaveAccountsToo) {
  const net::Headers headers = with_key({.models = {"small"}});
  ask({{"model", "small"}}, headers);
  const auto serve = [&](std::string model, net::Headers sent) {
    LocalHandler handler = [model](net::Request, LocalUse& use) -> Async<Response> {
      use = {.model = model, .tokens = {.prompt = 7}, .cpu_seconds = 0.5};
      co_return Response::json_text(200, "{}");
    };
    Response response;
    const auto run = [&]() -> Async<void> {
      net::Request request{.headers = sent, .body = to_text(Json{{"model", model}})};
      response = co_await gateway_->serve_local("/v1/classify", std::move(request), handler);
    };
    boost::asio::io_context io;
    boost::asio::co_spawn(io, run(), [](std::exception_ptr) {});
    io.run();
    return response;
  };
  EXPECT_EQ(serve("small", {}).status, 401);
  const std::size_t before = records_.size();
  EXPECT_EQ(serve("other", headers).status, 403);
  EXPECT_EQ(records_.size(), before);  // no model ran for it
  const Response fine = serve("small", headers);
  EXPECT_EQ(header(fine, "x-tack-model"), "small");
  EXPECT_EQ(records_.back().endpoint, "/v1/classify");
  EXPECT_EQ(records_.back().attempts.at(0).tokens.prompt, 7);
  EXPECT_EQ(records_.back().attempts[0].cpu_seconds, 0.5);
}

TEST(Policy, RefusesWhatMayNotLeave) {
  const auto call = std::make_shared<const Call>();
  EXPECT_TRUE(Policy::clear(call, {}, "big", "one"));
  EXPECT_TRUE(Policy::clear(call, {.allowed = {"big"}}, "big", "one"));
  const auto other = Policy::clear(call, {.allowed = {"small"}}, "big", "one");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().status, 403);
  EXPECT_FALSE(Policy::clear(call, {.mode = PrivacyMode::kLocalOnly}, "big", "one"));
}

}  // namespace
}  // namespace tack::gateway
