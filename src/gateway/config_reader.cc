#include "gateway/config_reader.h"

#include <algorithm>

#include "base/paths.h"
#include "net/address.h"
#include "net/client.h"

namespace tack::gateway {
namespace {

using namespace std::chrono_literals;

constexpr double kHighestPrice = 1e6;

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// { input = 2, output = 8, cached_input = 0.5 }
store::Price read_price(TomlSection section) {
  store::Price price;
  if (!section.exists()) return price;
  section.read("input", 0, kHighestPrice, price.input);
  section.read("output", 0, kHighestPrice, price.output);
  section.read("cached_input", 0, kHighestPrice, price.cached_input);
  if (!section.has("input") && !section.has("output"))
    section.mistake(nullptr, "has neither input nor output: what a million tokens cost");
  section.finish();
  return price;
}

void read_base_url(TomlSection& section, UpstreamConfig& upstream) {
  section.read("base_url", upstream.base_url);
  if (!section.has("base_url"))
    section.mistake(
        nullptr, "base_url is missing; for example base_url = \"{}\"",
        upstream.name == "ollama" ? "http://127.0.0.1:11434/v1" : "https://api.openai.com/v1");
}

void check_base_url(TomlSection& section, UpstreamConfig& upstream) {
  if (upstream.base_url.empty()) return;
  const auto url = net::parse_url(upstream.base_url);
  if (!url) return section.mistake("base_url", "is wrong: {}", url.error().message);
  if (upstream.base_url.find_first_of("?#") != std::string::npos)
    return section.mistake("base_url", "holds '?' or '#': it is what stands before the endpoint");
  while (upstream.base_url.ends_with('/')) upstream.base_url.pop_back();
  for (const std::string_view endpoint : {"/chat/completions", "/completions", "/embeddings"})
    if (upstream.base_url.ends_with(endpoint))
      return section.mistake("base_url", "ends in {}: leave that out, tack adds the endpoint",
                             endpoint);
  if (url->target == "/")
    section.warn("base_url", "has no path: most servers answer under {}/v1", upstream.base_url);
  if (!url->tls && !upstream.key_env.empty() && !net::is_private(url->host))
    section.warn("base_url", "is http: the key and all texts reach {} unencrypted; use https",
                 url->host);
}

void read_key_env(TomlSection& section, UpstreamConfig& upstream) {
  if (!section.read("key_env", upstream.key_env)) return;
  const bool right = !(upstream.key_env[0] >= '0' && upstream.key_env[0] <= '9') &&
                     std::ranges::all_of(upstream.key_env,
                                         [](char c) { return is_letter_or_digit(c) || c == '_'; });
  // The value may be a key: it is not repeated.
  if (!right)
    section.mistake("key_env",
                    "must be the name of an environment variable that holds the key, "
                    "such as \"OPENAI_API_KEY\", never the key itself");
}

void read_headers(TomlSection& section, UpstreamConfig& upstream) {
  section.read_map("headers", upstream.headers, /*secret=*/true);
  for (const auto& [name, value] : upstream.headers) {
    std::string lower = name;
    std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
    if (!is_header_name(name))
      section.mistake("headers", "holds '{}', which is no name of a header", name);
    else if (lower == "authorization")
      section.mistake("headers",
                      "holds 'authorization': name the variable with the key by key_env");
    else if (lower == "host" || lower == "connection" || lower == "content-length" ||
             lower == "content-type" || lower == "transfer-encoding" || lower == "accept-encoding")
      section.mistake("headers", "holds '{}', which tack sets", name);
    else if (!is_header_value(value))
      section.mistake("headers",
                      "holds a value for '{}' with a line break or another control "
                      "character",
                      name);
  }
}

void read_limits(TomlSection& section, UpstreamConfig& upstream) {
  constexpr milliseconds kLongest = 24h;
  section.read_duration("connect_timeout", 1ms, kLongest, upstream.connect_timeout);
  section.read_duration("first_byte_timeout", 1ms, kLongest, upstream.first_byte_timeout);
  section.read_duration("idle_timeout", 1ms, kLongest, upstream.idle_timeout);
  section.read_duration("total_timeout", 1ms, kLongest, upstream.total_timeout);
  section.read("retries", 0, 20, upstream.retries);
  section.read("max_connections", 1, 65536, upstream.max_connections);
  section.read("breaker_failures", 1, 1'000'000, upstream.breaker_failures);
  section.read_duration("breaker_open", 1ms, kLongest, upstream.breaker_open);
}

}  // namespace

std::filesystem::path directory_of(const GatewayConfig& config) {
  return std::filesystem::path(config.file).parent_path();
}

void read_path(TomlSection& section, const char* key, const GatewayConfig& config,
               std::string& path) {
  if (section.read(key, path) && !section.is_override(key))
    path = (directory_of(config) / path).lexically_normal().string();
}

bool is_name(std::string_view name, bool slash) {
  return !name.empty() && name.size() <= 128 && name.front() != '/' && name.back() != '/' &&
         std::ranges::all_of(name, [&](char c) {
           return is_letter_or_digit(c) || std::string_view("-_.:@+").contains(c) ||
                  (slash && c == '/');
         });
}

void check_name(TomlSection& section, bool slash) {
  if (is_name(section.name(), slash)) return;
  if (!slash && section.name().contains('/'))
    section.mistake(nullptr,
                    "has a '/' in its name: that stands between an upstream and its model");
  else
    section.mistake(nullptr, "must have a name of letters, digits and -_.:@+{}, 128 at most",
                    slash ? ", with '/' inside" : "");
}

// A token of RFC 9110.
bool is_header_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return is_letter_or_digit(c) || std::string_view("!#$%&'*+-.^_`|~").contains(c);
  });
}

bool is_header_value(std::string_view value) {
  return std::ranges::all_of(value, [](char c) {
    return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  });
}

void read_serve(TomlSection& root, GatewayConfig& config) {
  TomlSection section = root.section("serve");
  ServeConfig& serve = config.serve;
  if (section.read("host", serve.host) && serve.host != "localhost" &&
      !net::is_ip_address(serve.host))
    section.mistake("host",
                    "must be an IP address or \"localhost\": \"127.0.0.1\" is this machine "
                    "alone, \"0.0.0.0\" everyone who can reach it");
  section.read("port", 0, 65535, serve.port);
  section.read("threads", 0, 1024, serve.threads);
  section.read("io_threads", 1, 64, serve.io_threads);
  section.read_size("max_body", 1024, std::uint64_t{1} << 30, serve.max_body);
  section.read_duration("grace", 0s, 1h, serve.grace);
  section.read_duration("heartbeat", 1s, 1h, serve.heartbeat);
  section.finish();
  const bool right = serve.host == "localhost" || net::is_ip_address(serve.host);
  if (right && !net::is_loopback(serve.host) && !root.has("keys"))
    section.mistake("host",
                    "lets other machines in, and no key is asked for: add a section [keys], "
                    "and make a key with `tack keys add NAME`");
}

void read_models(TomlSection& root, GatewayConfig& config) {
  for (TomlSection& section : root.sections("models")) {
    LocalModelConfig model{.name = section.name(), .line = section.line()};
    check_name(section, /*slash=*/true);
    section.read("path", model.path);
    if (!section.has("path"))
      section.mistake(nullptr, "path is missing: a .gguf file, or the short name of a model");
    // Else the short name of a model that is looked up where models are kept.
    if (model.path.contains('/') || model.path.ends_with(".gguf"))
      model.path = (directory_of(config) / model.path).lexically_normal().string();
    section.read("context", 0, 1 << 30, model.context);
    section.read("parallel", 1, 256, model.parallel);
    std::string kv = "f16";  // what "" stands for
    if (section.read_word("kv", {"f32", "f16", "q8_0"}, kv)) model.kv = kv;
    model.price = read_price(section.section("price"));
    section.finish();
    config.models.push_back(std::move(model));
  }
}

void read_upstreams(TomlSection& root, GatewayConfig& config) {
  for (TomlSection& section : root.sections("upstreams")) {
    UpstreamConfig upstream{.name = section.name(), .line = section.line()};
    check_name(section, /*slash=*/false);
    read_base_url(section, upstream);
    read_key_env(section, upstream);
    check_base_url(section, upstream);
    if (section.read("ca_file", upstream.ca_file))
      upstream.ca_file = (directory_of(config) / upstream.ca_file).lexically_normal().string();
    read_headers(section, upstream);
    read_limits(section, upstream);
    for (TomlSection& price : section.sections("prices"))
      upstream.prices[price.name()] = read_price(price);
    section.finish();
    for (const LocalModelConfig& model : config.models)
      if (model.name.starts_with(upstream.name + "/"))
        section.mistake(nullptr, "has the name that the model '{}' begins with: call one otherwise",
                        model.name);
    config.upstreams.push_back(std::move(upstream));
  }
}

void read_keys_section(TomlSection& root, GatewayConfig& config) {
  TomlSection section = root.section("keys");
  if (!section.exists()) return;
  config.keys.file = (tack_home() / "keys.toml").string();
  config.keys.line = section.line();
  read_path(section, "file", config, config.keys.file);
  section.finish();
}

void read_storage(TomlSection& root, GatewayConfig& config) {
  TomlSection cache = root.section("cache");
  if (cache.exists()) config.cache.max_bytes = std::uint64_t{64} << 20;
  cache.read_size("max_bytes", 0, std::uint64_t{1} << 40, config.cache.max_bytes);
  cache.read_duration("ttl", 1s, 24h * 365, config.cache.ttl);
  cache.finish();

  TomlSection ledger = root.section("ledger");
  ledger.read("enabled", config.ledger.enabled);
  std::string path = (tack_home() / "ledger.db").string();  // what "" stands for
  read_path(ledger, "path", config, path);
  if (ledger.has("path")) config.ledger.path = path;
  ledger.read("content", config.ledger.content);
  milliseconds retention{0};
  if (ledger.read_duration("retention", 0ms, 24h * 36500, retention)) {
    config.ledger.retention_days = retention / 24h;
    if (retention % 24h != 0ms) ledger.mistake("retention", "must be whole days, such as \"30d\"");
  }
  ledger.read("queue", 1, 100'000'000, config.ledger.queue);
  ledger.finish();
}

}  // namespace tack::gateway
