#include "gateway/config.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic_file.h"

namespace tack::gateway {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// What is right around a mistake: a model, an upstream and a route, 9 lines.
constexpr const char* kGood = R"([models.tickets]
path = "tickets.gguf"
[upstreams.openai]
base_url = "https://api.openai.com/v1"
key_env = "OPENAI_API_KEY"
[upstreams.openai.prices]
"gpt-4.1" = { input = 2, output = 8, cached_input = 0.5 }
[routes.auto]
to = ["tickets", "openai/gpt-4.1"]
)";
constexpr int kGoodLines = 9;

std::string all(const std::vector<ConfigMistake>& mistakes) {
  std::string text;
  for (const ConfigMistake& mistake : mistakes)
    text += fmt::format("{}: {}\n", mistake.line, mistake.message);
  return text;
}

GatewayConfig parsed(const std::string& text, const std::vector<ConfigOverride>& overrides = {}) {
  auto config = parse_config(text, "/etc/tack/tack.toml", overrides);
  EXPECT_TRUE(config) << all(config.error());
  return config ? *std::move(config) : GatewayConfig();
}

std::vector<ConfigMistake> mistakes(const std::string& text,
                                    const std::vector<ConfigOverride>& overrides = {}) {
  auto config = parse_config(text, "/etc/tack/tack.toml", overrides);
  EXPECT_FALSE(config) << text;
  return config ? std::vector<ConfigMistake>() : std::move(config).error();
}

const ConfigSetting& setting(const GatewayConfig& config, std::string_view key) {
  for (const ConfigSetting& one : config.settings)
    if (one.key == key) return one;
  ADD_FAILURE() << "no setting " << key;
  static const ConfigSetting none;
  return none;
}

TEST(Config, AnEmptyFileHasTheDefaults) {
  const GatewayConfig config = parsed("");
  EXPECT_EQ(config.serve.host, "127.0.0.1");
  EXPECT_EQ(config.serve.port, 8080);
  EXPECT_EQ(config.serve.max_body, 8u << 20);
  EXPECT_TRUE(config.keys.file.empty());
  EXPECT_EQ(config.cache.max_bytes, 0u);
  EXPECT_TRUE(config.ledger.enabled);
  EXPECT_TRUE(config.ledger.path.ends_with("/ledger.db"));
}

TEST(Config, ReadsEverySetting) {
  const GatewayConfig config = parsed(R"(
[serve]
host = "::1"
port = 0
threads = 2
io_threads = 3
max_body = "1MiB"
grace = "1.5s"
heartbeat = "20s"
[models."org/small"]
path = "../m/small.gguf"
context = 4096
parallel = 2
kv = "q8_0"
price = { input = 0.1, output = 0.2 }
[models.named]
path = "clinc150"
[upstreams.one]
base_url = "https://one.example/v1/"
key_env = "ONE_KEY"
ca_file = "ca.pem"
headers = { X-Team = "a b" }
connect_timeout = "1s"
first_byte_timeout = "2s"
idle_timeout = "3s"
total_timeout = "4m"
retries = 0
max_connections = 7
breaker_failures = 8
breaker_open = "9s"
prices = { "a/b" = { input = 2, output = 8, cached_input = 0.5 }, "*" = { input = 1 } }
[routes.auto]
to = ["named", "one/a/b"]
min_confidence = 0.75
baseline = "one/c"
[[routes.auto.rules]]
name = "all of it"
to = "named"
[routes.auto.rules.when]
key = "k"
language = ["de", "fr"]
header = { X-Data = "private" }
min_chars = 1
max_chars = 2
contains = ["a", "b"]
tools = true
images = false
intent = { model = "named", label = "x", min_probability = 0.5 }
[[routes.auto.rules]]
when = { intent = { model = "named", out_of_scope = true } }
to = ["org/small", "named"]
min_confidence = 0
[routes.auto.learned]
router = "r/auto.router"
models = { weak = "named" }
strong_share = 0.25
[routes.auto.shadow]
model = "one/x"
share = 0.5
[keys]
file = "/k/keys.toml"
[cache]
max_bytes = 1000
ttl = "1h"
[ledger]
enabled = false
path = "l.db"
content = true
retention = "720h"
queue = 10
)");
  EXPECT_EQ(config.serve.host, "::1");
  EXPECT_EQ(config.serve.port, 0);
  EXPECT_EQ(config.serve.threads, 2);
  EXPECT_EQ(config.serve.io_threads, 3);
  EXPECT_EQ(config.serve.max_body, 1u << 20);
  EXPECT_EQ(config.serve.grace, 1500ms);
  EXPECT_EQ(config.serve.heartbeat, 20s);

  const LocalModelConfig* small = config.model("org/small");
  ASSERT_NE(small, nullptr);
  EXPECT_EQ(small->path, "/etc/m/small.gguf");
  EXPECT_EQ(small->context, 4096);
  EXPECT_EQ(small->parallel, 2);
  EXPECT_EQ(small->kv, "q8_0");
  EXPECT_EQ(small->price.input, 0.1);
  EXPECT_EQ(small->price.output, 0.2);
  EXPECT_EQ(small->line, 10);
  EXPECT_EQ(config.model("named")->path, "clinc150");

  const UpstreamConfig* one = config.upstream("one");
  ASSERT_NE(one, nullptr);
  EXPECT_EQ(one->base_url, "https://one.example/v1");
  EXPECT_EQ(one->key_env, "ONE_KEY");
  EXPECT_EQ(one->ca_file, "/etc/tack/ca.pem");
  EXPECT_EQ(one->headers.at("X-Team"), "a b");
  EXPECT_EQ(one->connect_timeout, 1s);
  EXPECT_EQ(one->first_byte_timeout, 2s);
  EXPECT_EQ(one->idle_timeout, 3s);
  EXPECT_EQ(one->total_timeout, 4min);
  EXPECT_EQ(one->retries, 0);
  EXPECT_EQ(one->max_connections, 7);
  EXPECT_EQ(one->breaker_failures, 8);
  EXPECT_EQ(one->breaker_open, 9s);
  EXPECT_EQ(one->prices.at("a/b").cached_input, 0.5);
  EXPECT_EQ(one->prices.at("*").input, 1);
  EXPECT_FALSE(one->prices.at("*").cached_input);

  const RouteConfig* route = config.route("auto");
  ASSERT_NE(route, nullptr);
  EXPECT_EQ(route->to.models, (std::vector<std::string>{"named", "one/a/b"}));
  EXPECT_EQ(route->to.min_confidence, 0.75);
  EXPECT_EQ(route->baseline, "one/c");
  ASSERT_EQ(route->rules.size(), 2u);
  const RuleConfig& rule = route->rules[0];
  EXPECT_EQ(rule.name, "all of it");
  EXPECT_EQ(rule.keys, std::vector<std::string>{"k"});
  EXPECT_EQ(rule.languages, (std::vector<std::string>{"de", "fr"}));
  EXPECT_EQ(rule.headers.at("x-data"), "private");
  EXPECT_EQ(rule.min_chars, 1);
  EXPECT_EQ(rule.max_chars, 2);
  EXPECT_EQ(rule.contains, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(rule.tools, true);
  EXPECT_EQ(rule.images, false);
  ASSERT_TRUE(rule.intent);
  EXPECT_EQ(rule.intent->model, "named");
  EXPECT_EQ(rule.intent->labels, std::vector<std::string>{"x"});
  EXPECT_EQ(rule.intent->min_probability, 0.5);
  EXPECT_EQ(rule.to.models, std::vector<std::string>{"named"});
  EXPECT_EQ(route->rules[1].name, "rule 2");
  EXPECT_TRUE(route->rules[1].intent->out_of_scope);
  EXPECT_EQ(route->rules[1].to.min_confidence, 0);
  ASSERT_TRUE(route->learned);
  EXPECT_EQ(route->learned->router, "/etc/tack/r/auto.router");
  EXPECT_EQ(route->learned->models.at("weak"), "named");
  EXPECT_EQ(route->learned->strong_share, 0.25);
  ASSERT_TRUE(route->shadow);
  EXPECT_EQ(route->shadow->model, "one/x");
  EXPECT_EQ(route->shadow->share, 0.5);

  EXPECT_EQ(config.keys.file, "/k/keys.toml");
  EXPECT_EQ(config.cache.max_bytes, 1000u);
  EXPECT_EQ(config.cache.ttl, 1h);
  EXPECT_FALSE(config.ledger.enabled);
  EXPECT_EQ(config.ledger.path, "/etc/tack/l.db");
  EXPECT_TRUE(config.ledger.content);
  EXPECT_EQ(config.ledger.retention_days, 30);
  EXPECT_EQ(config.ledger.queue, 10);
}

TEST(Config, SectionsTurnKeysAndCacheOn) {
  const GatewayConfig config = parsed("[keys]\n[cache]\n");
  EXPECT_TRUE(config.keys.file.ends_with("/keys.toml"));
  EXPECT_EQ(config.cache.max_bytes, 64u << 20);
  EXPECT_EQ(parsed("[cache]\nmax_bytes = 0\n").cache.max_bytes, 0u);
}

TEST(Config, KeepsTheOrderOfTheFile) {
  const GatewayConfig config =
      parsed("[models.z]\npath='z'\n[models.a]\npath='a'\n[models]\nb = {path='b'}\n");
  ASSERT_EQ(config.models.size(), 3u);
  EXPECT_EQ(config.models[0].name, "z");
  EXPECT_EQ(config.models[1].name, "a");
  EXPECT_EQ(config.models[2].name, "b");
}

TEST(Config, SplitsUpstreamModels) {
  const GatewayConfig config = parsed(kGood);
  const auto split = split_upstream(config, "openai/org/model");
  ASSERT_TRUE(split);
  EXPECT_EQ(split->upstream, config.upstream("openai"));
  EXPECT_EQ(split->model, "org/model");
  for (const char* other : {"openai", "openai/", "other/x", "tickets", "", "/x"})
    EXPECT_FALSE(split_upstream(config, other)) << other;
  EXPECT_EQ(config.routes[0].baseline, "openai/gpt-4.1");
}

struct Wrong {
  const char* text;  // after kGood
  int line;          // of `text`
  std::vector<const char*> says;
};

void PrintTo(const Wrong& wrong, std::ostream* out) {
  *out << wrong.text;
}

class Mistakes : public testing::TestWithParam<Wrong> {};

TEST_P(Mistakes, AreSaidWithTheirLineAndNothingElseIs) {
  const auto found = mistakes(std::string(kGood) + GetParam().text);
  ASSERT_EQ(found.size(), 1u) << GetParam().text << "\n" << all(found);
  EXPECT_EQ(found[0].line, kGoodLines + GetParam().line) << found[0].message;
  for (const char* part : GetParam().says)
    EXPECT_TRUE(found[0].message.contains(part)) << found[0].message << "\nwithout " << part;
}

INSTANTIATE_TEST_SUITE_P(
    Sections, Mistakes,
    testing::Values(
        Wrong{"[upstream.x]\na = 1\n", 1, {"unknown section", "'upstream'", "mean 'upstreams'"}},
        Wrong{"[serv]\n", 1, {"'serv'", "mean 'serve'", "ledger"}},
        Wrong{"serve = 3\n", 1, {"[routes.auto]", "'serve'"}},  // a key of the last section
        Wrong{"[serve]\nprot = 1\n", 2, {"[serve]", "unknown key 'prot'", "mean 'port'"}},
        Wrong{"[serve]\nxyzzy = 1\n", 2, {"unknown key 'xyzzy'.", "heartbeat, host"}},
        Wrong{"[serve\n", 1, {"column 7"}}, Wrong{"[serve]\n[serve]\n", 2, {"serve"}},
        Wrong{"[models.tickets]\n", 1, {"tickets"}},  // a second one
        Wrong{"[[models]]\n", 1, {"models"}},
        Wrong{"[models]\npath = 'x'\n", 2, {"[models] path", "[models.NAME]"}}));

INSTANTIATE_TEST_SUITE_P(
    Serve, Mistakes,
    testing::Values(
        Wrong{"[serve]\nport = 65536\n", 2, {"[serve] port", "from 0 to 65535"}},
        Wrong{"[serve]\nport = '80'\n", 2, {"[serve] port", "whole number"}},
        Wrong{"[serve]\nport = 80.0\n", 2, {"[serve] port", "whole number"}},
        Wrong{"[serve]\nthreads = -1\n", 2, {"threads", "from 0"}},
        Wrong{"[serve]\nio_threads = 0\n", 2, {"io_threads", "from 1"}},
        Wrong{"[serve]\nmax_body = '8 apples'\n", 2, {"max_body", "1KiB", "1GiB"}},
        Wrong{"[serve]\nmax_body = 0\n", 2, {"max_body"}},
        Wrong{"[serve]\ngrace = 10\n", 2, {"grace", "\"10s\""}},
        Wrong{"[serve]\ngrace = '10'\n", 2, {"grace", "span of time"}},
        Wrong{"[serve]\nheartbeat = '0s'\n", 2, {"heartbeat", "1s"}},
        Wrong{"[serve]\nhost = 'example.org'\n", 2, {"host", "IP address"}},
        Wrong{"[serve]\nhost = ''\n", 2, {"host", "not empty"}},
        Wrong{"[serve]\nport = 1\nhost = '0.0.0.0'\n", 3, {"host", "[keys]", "tack keys add"}},
        Wrong{"[serve]\nhost = '192.168.1.2'\n", 2, {"host", "[keys]"}},
        Wrong{"[serve]\nhost = '::'\n", 2, {"host", "[keys]"}}));

INSTANTIATE_TEST_SUITE_P(
    Models, Mistakes,
    testing::Values(
        Wrong{"[models.b]\n", 1, {"[models.b] path is missing", ".gguf"}},
        Wrong{"[models.b]\npath = 3\n", 2, {"[models.b] path", "text"}},
        Wrong{"[models.b]\npath = 'x'\nkv = 'q4'\n", 3, {"kv", "\"q8_0\""}},
        Wrong{"[models.b]\npath = 'x'\nparallel = 0\n", 3, {"parallel"}},
        Wrong{"[models.b]\npath = 'x'\nprice = { input = -1 }\n", 3, {"price", "input", "from 0"}},
        Wrong{"[models.b]\npath = 'x'\nprice = { }\n", 3, {"price", "neither input nor output"}},
        Wrong{"[models.b]\npath = 'x'\nprice = 3\n", 3, {"[models.b] price", "section"}},
        Wrong{"[models.\"b c\"]\npath = 'x'\n", 1, {"\"b c\"", "letters, digits"}},
        Wrong{"[models.\"\"]\npath = 'x'\n", 1, {"letters, digits"}},
        Wrong{"[models.auto]\npath = 'x'\n", -1, {"[routes.auto]", "name of a model"}},
        Wrong{"[models.'openai/x']\npath = 'x'\n", -6, {"[upstreams.openai]", "'openai/x'"}}));

INSTANTIATE_TEST_SUITE_P(
    Upstreams, Mistakes,
    testing::Values(
        Wrong{"[upstreams.b]\n", 1, {"[upstreams.b] base_url is missing", "https://"}},
        Wrong{"[upstreams.b]\nbase_url = 'b.org'\n", 2, {"base_url", "http"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1?x=1'\n", 2, {"base_url", "'?'"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1/chat/completions/'\n",
              2,
              {"/chat/completions", "leave that out"}},
        Wrong{"[upstreams.'b/c']\nbase_url = 'http://b/v1'\n", 1, {"\"b/c\"", "'/'"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1'\nbase-url = 'x'\n", 3, {"mean 'base_url'"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1'\nkey_env = 'sk-123'\n",
              3,
              {"key_env", "name of an environment variable"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1'\nretries = 21\n", 3, {"retries"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1'\nidle_timeout = '0s'\n", 3, {"1ms"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1'\nheaders = { 'a b' = '1' }\n", 3, {"'a b'"}},
        Wrong{
            "[upstreams.b]\nbase_url = 'http://b/v1'\nheaders = { a = 1 }\n", 3, {"headers", "a"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1'\nheaders = { a = \"x\\ny\" }\n",
              3,
              {"'a'", "line break"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1'\nheaders = { Authorization = 'x' }\n",
              3,
              {"key_env"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1'\nheaders = { Host = 'x' }\n",
              3,
              {"'Host'", "tack sets"}},
        Wrong{
            "[upstreams.b]\nbase_url = 'http://b/v1'\nprices = { m = { inptu = 1, output = 1 } }\n",
            3,
            {"[upstreams.b.prices.m]", "mean 'input'"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1'\nprices = { m = 3 }\n",
              3,
              {"[upstreams.b.prices]", "m"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1'\n[upstreams.b.prices]\n'm.1' = { output = "
              "-2 }\n",
              4,
              {"[upstreams.b.prices.\"m.1\"] output", "from 0"}}));

INSTANTIATE_TEST_SUITE_P(
    Routes, Mistakes,
    testing::Values(
        Wrong{"[routes.b]\n", 1, {"[routes.b] to is missing"}},
        Wrong{"[routes.b]\nto = []\n", 2, {"to", "list"}},
        Wrong{"[routes.b]\nto = ['tickets', 3]\n", 2, {"to", "list"}},
        Wrong{"[routes.b]\nto = 'tikets'\n",
              2,
              {"[routes.b] to", "no model 'tikets'", "mean 'tickets'", "openai/MODEL"}},
        Wrong{"[routes.b]\nto = 'opnai/x'\n", 2, {"no upstream 'opnai'", "mean 'openai'"}},
        Wrong{"[routes.b]\nto = 'openai'\n", 2, {"is an upstream", "openai/MODEL"}},
        Wrong{"[routes.b]\nto = 'openai/'\n", 2, {"is an upstream", "openai/MODEL"}},
        Wrong{"[routes.b]\nto = 'auto'\n", 2, {"'auto' is a route"}},
        Wrong{"[routes.b]\nto = 'b'\n", 2, {"'b' is a route"}},
        Wrong{"[routes.b]\nto = ['tickets', 'tickets']\n", 2, {"'tickets' twice"}},
        Wrong{"[routes.b]\nto = 'tickets'\nmin_confidence = 0.5\n", 3, {"second model"}},
        Wrong{"[routes.b]\nto = ['tickets', 'openai/x']\nmin_confidence = 1.5\n",
              3,
              {"min_confidence", "from 0 to 1"}},
        Wrong{"[routes.b]\nto = ['tickets', 'openai/x']\nmin_confidence = nan\n",
              3,
              {"min_confidence", "from 0 to 1"}},
        Wrong{"[routes.b]\nto = 'tickets'\nbaseline = 'auto'\n", 3, {"baseline", "is a route"}},
        Wrong{"[routes.'b/c']\nto = 'tickets'\n", 1, {"[routes.\"b/c\"]", "'/'"}},
        Wrong{"[routes.tickets]\nto = 'tickets'\n", 1, {"[routes.tickets]", "name of a model"}},
        Wrong{"[routes.auto.learned]\nmodels = { w = 'tickets' }\n",
              1,
              {"learned", "router is missing"}},
        Wrong{"[routes.auto.learned]\nrouter = 'r'\nmodels = { w = 'ticket' }\n",
              3,
              {"'w'", "mean 'tickets'"}},
        Wrong{"[routes.auto.learned]\nrouter = 'r'\nstrong_share = 2\n", 3, {"strong_share"}},
        Wrong{"[routes.auto.shadow]\nshare = 0.5\n", 1, {"shadow", "model is missing"}},
        Wrong{"[routes.auto.shadow]\nmodel = 'x'\n", 2, {"shadow", "no model 'x'"}},
        Wrong{"[routes.auto.shadow]\nmodel = 'tickets'\nshare = -1\n", 3, {"share"}}));

INSTANTIATE_TEST_SUITE_P(
    Rules, Mistakes,
    testing::Values(
        Wrong{"[[routes.auto.rules]]\nwhen = { tools = true }\n", 1, {"to is missing"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\n",
              1,
              {"[[routes.auto.rules]]", "when is missing"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\nwhen = {}\n", 3, {"when is missing"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\nwhen = 'tools'\n", 3, {"when", "section"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\nwhen = { keys = 'a' }\n",
              3,
              {"[[routes.auto.rules]] when", "mean 'key'"}},
        Wrong{"[[routes.auto.rules]]\nto = 'x'\nwhen = { tools = true }\n", 2, {"no model 'x'"}},
        Wrong{
            "[[routes.auto.rules]]\nto = 'tickets'\nwhen = { tools = 1 }\n", 3, {"true or false"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\nwhen = { language = 'deu' }\n",
              3,
              {"two letters"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\nwhen = { header = { 'a b' = 'x' } }\n",
              3,
              {"'a b'"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\nwhen = { min_chars = 2, max_chars = 1 }\n",
              3,
              {"max_chars", "below"}},
        Wrong{
            "[[routes.auto.rules]]\nto = 'tickets'\nwhen = { contains = [''] }\n", 3, {"contains"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\nwhen = { intent = { label = 'x' } }\n",
              3,
              {"when.intent", "no model"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\nwhen = { intent = { model = 'openai/gpt-4.1' "
              "} }\n",
              3,
              {"when.intent model", "model of this file", "tickets"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\nwhen = { intent = { model = 'tickets', "
              "min_probability = 2 } }\n",
              3,
              {"min_probability"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\nwhen = { intent = { model = 'tickets', "
              "label = 'x', out_of_scope = true } }\n",
              3,
              {"out_of_scope"}},
        Wrong{"[[routes.auto.rules]]\nname = 'a'\nto = 'tickets'\nwhen = { tools = true }\n"
              "[[routes.auto.rules]]\nname = 'a'\nto = 'tickets'\nwhen = { tools = true }\n",
              6,
              {"'a' is the name of another rule"}},
        Wrong{"[routes.auto.rules]\nto = 'tickets'\n", 1, {"list", "[[routes.auto.rules]]"}}));

INSTANTIATE_TEST_SUITE_P(
    Storage, Mistakes,
    testing::Values(Wrong{"[keys]\npath = 'x'\n", 2, {"[keys]", "'path'", "file"}},
                    Wrong{"[keys]\nfile = ''\n", 2, {"[keys] file"}},
                    Wrong{"[cache]\nmax_bytes = 'x'\n", 2, {"[cache] max_bytes"}},
                    Wrong{"[cache]\nttl = '1 week'\n", 2, {"[cache] ttl", "span of time"}},
                    Wrong{"[ledger]\nenabled = 'yes'\n", 2, {"[ledger] enabled", "true or false"}},
                    Wrong{"[ledger]\nretention = '36h'\n", 2, {"[ledger] retention", "whole days"}},
                    Wrong{"[ledger]\nretention = '-1d'\n", 2, {"[ledger] retention"}},
                    Wrong{"[ledger]\nqueue = 0\n", 2, {"[ledger] queue"}}));

TEST(Config, SaysAllMistakesInTheOrderOfTheirLines) {
  const auto found = mistakes(
      "[ledger]\nqueue = 0\n[routes.r]\nto = 'x'\n[serve]\nport = -1\nhots = 'x'\n[models.m]\n");
  ASSERT_EQ(found.size(), 5u) << all(found);
  EXPECT_EQ(found[0].line, 2);
  EXPECT_EQ(found[1].line, 4);
  EXPECT_EQ(found[2].line, 6);
  EXPECT_EQ(found[3].line, 7);
  EXPECT_EQ(found[4].line, 8);
}

TEST(Config, ASectionWithMistakesIsStillThere) {
  // One mistake each: nothing follows from it.
  EXPECT_EQ(mistakes("[upstreams.a]\nbase_url = 'x'\n[routes.r]\nto = 'a/m'\n").size(), 1u);
  EXPECT_EQ(mistakes("[models.a]\n[routes.r]\nto = 'a'\n").size(), 1u);
}

TEST(Config, NeverRepeatsWhatMayBeAKey) {
  for (const ConfigMistake& mistake :
       mistakes("[upstreams.a]\nbase_url = 'https://u:secret@x/v1'\nkey_env = 'sk-secret'\n"
                "headers = { a = \"secret\\n\" }\n"))
    EXPECT_FALSE(mistake.message.contains("secret")) << mistake.message;
}

TEST(Config, WarnsOfWhatIsSeldomMeant) {
  const auto warning = [](const std::string& text) {
    const GatewayConfig config = parsed(kGood + text);
    EXPECT_EQ(config.warnings.size(), 1u) << all(config.warnings);
    return config.warnings.empty() ? ConfigMistake() : config.warnings[0];
  };
  const ConfigMistake plain =
      warning("[upstreams.b]\nbase_url = 'http://example.org/v1'\nkey_env = 'K'\n");
  EXPECT_EQ(plain.line, kGoodLines + 2);
  EXPECT_TRUE(plain.message.contains("unencrypted")) << plain.message;
  EXPECT_TRUE(warning("[upstreams.b]\nbase_url = 'https://b'\n").message.contains("https://b/v1"));
  EXPECT_TRUE(warning("[routes.b]\nto = 'openai/gpt-4.l'\n").message.contains("mean 'gpt-4.1'"));
  EXPECT_TRUE(
      warning("[routes.b]\nto = 'tickets'\nbaseline = 'openai/o3'\n").message.contains("savings"));
  // Nothing to say of a local server, nor of one without a key.
  for (const char* good : {"http://127.0.0.1:8000/v1", "http://vllm:8000/v1", "http://10.1.2.3/v1"})
    EXPECT_TRUE(parsed(fmt::format("[upstreams.b]\nbase_url = '{}'\nkey_env = 'K'\n", good))
                    .warnings.empty())
        << good;
  EXPECT_TRUE(parsed("[upstreams.b]\nbase_url = 'http://example.org/v1'\n").warnings.empty());
}

TEST(Config, OverridesStandOverTheFile) {
  const std::string text = "[serve]\nport = 1\nthreads = 3\n";
  const GatewayConfig config = parsed(text, {{"serve.port", "2", "TACK_PORT"},
                                             {"serve.port", "3", "--port"},
                                             {"serve.host", "::1", "TACK_HOST"},
                                             {"keys.file", "k.toml", "TACK_KEYS"}});
  EXPECT_EQ(config.serve.port, 3);
  EXPECT_EQ(config.serve.host, "::1");
  EXPECT_EQ(config.keys.file, "k.toml");  // relative to where the program runs
  EXPECT_EQ(setting(config, "serve.port").origin, "--port");
  EXPECT_EQ(setting(config, "serve.host").origin, "TACK_HOST");
  EXPECT_EQ(setting(config, "serve.threads").origin, "file");
  EXPECT_EQ(setting(config, "serve.threads").line, 3);
  EXPECT_EQ(setting(config, "serve.grace").origin, "default");
  EXPECT_EQ(setting(config, "serve.grace").value, "10s");

  const auto wrong = mistakes(text, {{"serve.port", "x", "TACK_PORT"}});
  ASSERT_EQ(wrong.size(), 1u);
  EXPECT_EQ(wrong[0].line, 0);
  EXPECT_TRUE(wrong[0].message.starts_with("TACK_PORT: [serve] port must be")) << wrong[0].message;
  // A flag cannot open what the file keeps closed.
  EXPECT_TRUE(mistakes(text, {{"serve.host", "0.0.0.0", "--host"}})[0].message.contains("[keys]"));
}

TEST(Config, ShowsSettingsAndHidesHeaders) {
  const GatewayConfig config = parsed(
      std::string(kGood) + "[upstreams.b]\nbase_url = 'http://b/v1'\nheaders = { x-key = 's3' }\n");
  EXPECT_EQ(setting(config, "upstreams.openai.prices.\"gpt-4.1\".cached_input").value, 0.5);
  EXPECT_EQ(setting(config, "routes.auto.to").value, Json({"tickets", "openai/gpt-4.1"}));
  EXPECT_EQ(setting(config, "upstreams.b.headers.x-key").value, "(hidden)");
  for (const ConfigSetting& one : config.settings)
    EXPECT_FALSE(to_text(one.value).contains("s3")) << one.key;
}

TEST(Config, TheEnvironmentOverrides) {
  ::setenv("TACK_PORT", "9", 1);
  ::setenv("TACK_MAX_BODY", "1MiB", 1);
  ::setenv("TACK_HOST", "", 1);
  const GatewayConfig config = parsed("", environment_overrides());
  ::unsetenv("TACK_PORT");
  ::unsetenv("TACK_MAX_BODY");
  ::unsetenv("TACK_HOST");
  EXPECT_EQ(config.serve.port, 9);
  EXPECT_EQ(config.serve.max_body, 1u << 20);
  EXPECT_EQ(config.serve.host, "127.0.0.1");
}

// What is between the first ```toml and ``` after a heading.
std::string example(const std::string& heading) {
  const auto text = read_file(fs::path(TACK_SOURCE_DIR) / "docs/config.md");
  EXPECT_TRUE(text);
  const std::size_t at = text->find("```toml\n", text->find(heading)) + 8;
  return text->substr(at, text->find("```", at) - at);
}

TEST(Config, TheExampleInTheDocumentIsRight) {
  const GatewayConfig config = parsed(example("## An example"));
  EXPECT_TRUE(config.warnings.empty()) << all(config.warnings);
  EXPECT_EQ(config.routes.size(), 2u);
  EXPECT_EQ(config.routes[1].rules.size(), 2u);
  EXPECT_TRUE(config.routes[1].learned && config.routes[1].shadow);
  EXPECT_EQ(config.ledger.retention_days, 90);
}

TEST(Config, TheDocumentNamesEveryKeyAndDefault) {
  const auto text = read_file(fs::path(TACK_SOURCE_DIR) / "docs/config.md");
  ASSERT_TRUE(text);
  const GatewayConfig config = parsed(
      "[models.m]\npath='m'\n[upstreams.u]\nbase_url='http://u/v1'\n[cache]\n[ledger]\n[keys]\n"
      "[routes.r]\nto='m'\n[routes.r.learned]\nrouter='r'\n[routes.r.shadow]\nmodel='m'\n");
  for (const ConfigSetting& one : config.settings) {
    const std::string key = one.key.substr(one.key.rfind('.') + 1);
    EXPECT_TRUE(text->contains("`" + key + "`")) << key;
    // The table's row: | `port` | `8080` | ... |. Paths and what has no value are put in words.
    const bool in_words = key == "path" || key == "file" || one.value == "" ||
                          one.origin != "default" || key == "retention" || key == "share";
    const std::string row = fmt::format("| `{}` | `{}` |", key, to_text(one.value));
    EXPECT_TRUE(in_words || text->contains(row)) << row;
  }
}

class Environment : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("tack_config_test_" + std::to_string(::getpid()));
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }
  std::vector<ConfigMistake> check(const std::string& text) const {
    const auto config = parse_config(text, directory_ / "tack.toml");
    EXPECT_TRUE(config) << all(config.error());
    return config ? check_environment(*config) : std::vector<ConfigMistake>();
  }
  fs::path directory_;
};

TEST_F(Environment, MissingFilesAndVariablesAreSaid) {
  ::unsetenv("TACK_TEST_KEY");
  ::setenv("TACK_TEST_EMPTY", "", 1);
  ::setenv("TACK_TEST_BROKEN", "sk-secret\n", 1);
  const auto found = check(R"([models.a]
path = "missing.gguf"
[upstreams.b]
base_url = "http://b/v1"
key_env = "TACK_TEST_KEY"
[upstreams.c]
base_url = "http://b/v1"
key_env = "TACK_TEST_EMPTY"
ca_file = "ca.pem"
[upstreams.d]
base_url = "http://b/v1"
key_env = "TACK_TEST_BROKEN"
[routes.r]
to = "a"
[routes.r.learned]
router = "r.router"
[keys]
file = "keys.toml"
)");
  const std::pair<int, const char*> wanted[] = {
      {2, "missing.gguf"}, {5, "TACK_TEST_KEY is not set"}, {8, "TACK_TEST_EMPTY is empty"},
      {9, "ca.pem"},       {12, "TACK_TEST_BROKEN"},        {16, "r.router"},
      {18, "keys.toml"}};
  ASSERT_EQ(found.size(), std::size(wanted)) << all(found);
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].line, wanted[i].first) << found[i].message;
    EXPECT_TRUE(found[i].message.contains(wanted[i].second)) << found[i].message;
    EXPECT_FALSE(found[i].message.contains("secret")) << found[i].message;
  }
}

TEST_F(Environment, AKeyFileThatOthersCanReadIsSaid) {
  const fs::path keys = directory_ / "keys.toml";
  ASSERT_TRUE(write_file(keys, ""));
  const std::string text = "[keys]\nfile = 'keys.toml'\n";
  ASSERT_EQ(::chmod(keys.c_str(), 0640), 0);
  const auto found = check(text);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(found[0].message.contains("chmod 600")) << found[0].message;
  ASSERT_EQ(::chmod(keys.c_str(), 0600), 0);
  EXPECT_TRUE(check(text).empty()) << all(check(text));
}

TEST_F(Environment, ReadingSaysTheFirstMistakeAndHowManyMore) {
  const fs::path file = directory_ / "tack.toml";
  ASSERT_TRUE(write_file(file, "[serve]\nport = -1\nhots = 'x'\n"));
  const auto config = read_config(file);
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, ErrorCode::kUsage);
  EXPECT_TRUE(config.error().message.starts_with(file.string() + ":2: [serve] port"));
  EXPECT_TRUE(config.error().message.contains("and 1 more")) << config.error().message;
  EXPECT_EQ(read_config(directory_ / "none.toml").error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(write_file(file, "[serve]\nport = 1\n"));
  EXPECT_TRUE(read_config(file));
}

TEST(Config, ASectionMustBeOne) {
  const auto found = mistakes("serve = 3\nmodels = []\n[routes]\nauto = 'tickets'\n");
  ASSERT_EQ(found.size(), 3u) << all(found);
  EXPECT_EQ(found[0].message, "serve must be a section: [serve]");
  EXPECT_EQ(found[1].message, "models must be a section: [models]");
  EXPECT_TRUE(found[2].message.contains("[routes.NAME]"));
}

TEST(Config, SurvivesOddText) {
  for (const std::string& text :
       {std::string("\xff\xfe"), std::string(1, '\0'), std::string("a = \"\\u0000\""),
        std::string(100000, '['), "a = " + std::string(100000, '['),
        std::string("[serve]\nhost = \"\\u0000\"")}) {
    const auto found = mistakes(text);
    ASSERT_FALSE(found.empty());
    for (const ConfigMistake& mistake : found)
      for (const char c : mistake.message) EXPECT_GE(static_cast<unsigned char>(c), 0x20);
  }
}

}  // namespace
}  // namespace tack::gateway
