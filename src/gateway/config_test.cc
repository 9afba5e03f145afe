#include "gateway/config.h"

#include <cstdlib>
#include <filesystem>

#include "base/atomic_file.h"
#include "gateway/config_texts.h"

namespace tack::gateway {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

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
  EXPECT_EQ(config.ledger.path, "");
  EXPECT_TRUE(setting(config, "ledger.path").value.get<std::string>().ends_with("/ledger.db"));
  EXPECT_FALSE(config.audit.enabled);
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
[audit]
path = "a.jsonl"
key_file = "/k/audit.key"
required = true
verify = "all"
max_bytes = "1MiB"
flush = "10ms"
queue = 11
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
  EXPECT_TRUE(config.audit.enabled);
  EXPECT_EQ(config.audit.path, "/etc/tack/a.jsonl");
  EXPECT_EQ(config.audit.key_file, "/k/audit.key");
  EXPECT_TRUE(config.audit.required);
  EXPECT_TRUE(config.audit.verify_all);
  EXPECT_EQ(config.audit.max_bytes, 1u << 20);
  EXPECT_EQ(config.audit.flush, 10ms);
  EXPECT_EQ(config.audit.queue, 11);
}

TEST(Config, SectionsTurnKeysCacheAndAuditOn) {
  const GatewayConfig config = parsed("[keys]\n[cache]\n[audit]\n");
  EXPECT_TRUE(config.audit.enabled);
  EXPECT_TRUE(config.audit.path.ends_with("/audit.jsonl"));
  EXPECT_TRUE(config.audit.key_file.ends_with("/audit.key"));
  EXPECT_FALSE(parsed("[audit]\nenabled = false\n").audit.enabled);
  EXPECT_TRUE(config.keys.file.ends_with("/keys.toml"));
  EXPECT_EQ(config.cache.max_bytes, 64u << 20);
  EXPECT_EQ(parsed("[cache]\nmax_bytes = 0\n").cache.max_bytes, 0u);
}

// What may leave: the mode of [privacy], a route's own in its place, and where all routes are local
// and it says nothing, nothing.
TEST(Config, PrivacyIsOfRoutes) {
  const std::string base = "[models.m]\npath='m'\n[upstreams.u]\nbase_url='http://u/v1'\n";
  const GatewayConfig open = parsed(base + "[routes.a]\nto='u/x'\n");
  EXPECT_EQ(open.privacy_of(nullptr), PrivacyMode::kAllow);
  EXPECT_TRUE(open.may_leave());
  const GatewayConfig mixed =
      parsed(base +
             "[privacy]\nmode='mask'\n[routes.a]\nto='u/x'\nprivacy='local-only'\n[routes.b]\nto="
             "'u/x'\nprivacy='allow'\n[routes.c]\nto='u/x'\n");
  EXPECT_EQ(mixed.privacy_of(mixed.route("a")), PrivacyMode::kLocalOnly);
  EXPECT_EQ(mixed.privacy_of(mixed.route("b")), PrivacyMode::kAllow);
  EXPECT_EQ(mixed.privacy_of(mixed.route("c")), PrivacyMode::kMask);
  const std::string local = "[routes.a]\nto='m'\nprivacy='local-only'\n";
  EXPECT_FALSE(parsed(base + local).may_leave());
  EXPECT_TRUE(parsed(base + local + "[privacy]\nmode='allow'\n").may_leave());
  EXPECT_FALSE(parsed(base + "[privacy]\nmode='local-only'\n").may_leave());
  // A check of the guard that masks: no route is below it.
  const GatewayConfig guarded =
      parsed(base +
             "[routes.a]\nto='u/x'\nprivacy='allow'\n[guard]\n[[guard.pre_flight]]\ncheck="
             "'pii'\nmask=true\nonly=['EMAIL_ADDRESS']\n");
  EXPECT_EQ(guarded.privacy_of(guarded.route("a")), PrivacyMode::kMask);
  EXPECT_EQ(guarded.privacy.entities, std::vector<std::string>{"EMAIL_ADDRESS"});
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
      "[models.m]\npath='m'\n[upstreams.u]\nbase_url='http://u/"
      "v1'\n[cache]\n[ledger]\n[audit]\n[keys]\n[guard]\n[privacy]\n"
      "[routes.r]\nto='m'\n[routes.r.learned]\nrouter='r'\n[routes.r.shadow]\nmodel='m'\n");
  for (const ConfigSetting& one : config.settings) {
    const std::string key = one.key.substr(one.key.rfind('.') + 1);
    EXPECT_TRUE(text->contains("`" + key + "`")) << key;
    // The table's row: | `port` | `8080` | ... |. Paths and what has no value are put in words.
    const bool in_words = key == "path" || key == "baseline" || key == "file" ||
                          key == "key_file" || one.value == "" || one.origin != "default" ||
                          key == "retention" || key == "share";
    const std::string row = fmt::format("| `{}` | `{}` |", key, to_text(one.value));
    EXPECT_TRUE(in_words || text->contains(row)) << row;
  }
}

}  // namespace
}  // namespace tack::gateway
