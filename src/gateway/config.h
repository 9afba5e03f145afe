// tack.toml: what `tack serve --config` runs. Read once, checked whole: every mistake is said with
// its line, not only the first. docs/config.md describes the file.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "gateway/privacy_mode.h"
#include "guard/guard_config.h"
#include "store/ledger.h"

namespace tack::gateway {

using std::chrono::milliseconds;

// [serve]
struct ServeConfig {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8080;
  int threads = 0;  // that compute; 0: all cores
  int io_threads = 1;
  std::uint64_t max_body = 8 * 1024 * 1024;  // bytes
  milliseconds grace{10'000};                // for requests in flight when stopping
  milliseconds heartbeat{15'000};            // a comment in a stream that is silent for so long
};

// [models.NAME]
struct LocalModelConfig {
  std::string name;                        // what clients use
  std::string path;                        // or short name
  std::int64_t context = 0, parallel = 4;  // of a decoder
  std::string kv;                          // type of its KV cache; "": the default
  store::Price price;                      // what an answer is to count as; 0 by default
  int line = 0;
};

// [upstreams.NAME]
struct UpstreamConfig {
  std::string name;
  std::string base_url;  // "https://api.openai.com/v1", without a '/' at its end
  std::string key_env;   // the environment variable with its key; "": none is sent
  std::string ca_file;   // trusted certificates (PEM); "": the system's
  std::map<std::string, std::string> headers;  // sent along
  milliseconds connect_timeout{5'000};
  milliseconds first_byte_timeout{60'000};  // from sending to the first byte of an answer's body
  milliseconds idle_timeout{60'000};        // between two pieces of a stream
  milliseconds total_timeout{600'000};
  int retries = 2;                             // beyond the first try, before the first byte
  int max_connections = 64;                    // at once
  int breaker_failures = 5;                    // in a row, then nothing is sent
  milliseconds breaker_open{10'000};           // for so long, then one request tries
  std::map<std::string, store::Price> prices;  // by model; "*": of any other
  int line = 0;
};

// Asked in their order until one answers. With min_confidence (a cascade) an answer whose
// confidence is below it is thrown away, and the next model is asked; the last one's stands.
struct TargetConfig {
  std::vector<std::string> models;  // "tickets" or "upstream/model"
  std::optional<double> min_confidence;
};

// [[routes.NAME.rules]]: the first whose conditions all hold decides, and only its `to` is asked.
struct RuleConfig {
  std::string name;  // "rule 1" when it has none
  // Conditions; unset ones hold.
  std::vector<std::string> keys;                     // of the client's key
  std::vector<std::string> languages;                // ISO 639-1, as detected
  std::map<std::string, std::string> headers;        // lower-case name to value
  std::optional<std::int64_t> min_chars, max_chars;  // of all messages together
  std::vector<std::string> contains;                 // any of these words, without case
  std::optional<bool> tools, images;                 // in the request
  struct Intent {
    std::string model;                // a local task model
    std::vector<std::string> labels;  // any of these; empty: any that is in scope
    double min_probability = 0;
    bool out_of_scope = false;  // holds for texts that are out of scope
  };
  std::optional<Intent> intent;
  TargetConfig to;
  int line = 0;
};

// [routes.NAME.learned]: a router made by `tack route train`.
struct LearnedConfig {
  std::string router;  // path
  // The router's names of models to ours; those it leaves out are the same.
  std::map<std::string, std::string> models;
  std::optional<double>
      strong_share;  // another share of strong calls than the router's own threshold
  int line = 0;
};

// [routes.NAME.shadow]
struct ShadowConfig {
  std::string model;
  double share = 1;  // of the requests
  int line = 0;
};

// [routes.NAME]: "model": "NAME" asks for it; "auto" is the default one.
struct RouteConfig {
  std::string name;
  std::vector<RuleConfig> rules;
  std::optional<LearnedConfig> learned;  // after the rules
  TargetConfig to;  // when neither decides, and when what the learned router chose fails
  std::optional<ShadowConfig> shadow;
  std::optional<PrivacyMode> privacy;  // in place of [privacy] mode
  std::string baseline;  // what savings are counted against; default: the last model of `to`
  int line = 0;
};

// [keys]
struct KeysConfig {
  // Of hashed keys, made by `tack keys`; "": none are asked for. [keys] without a file: keys.toml
  // under TACK_HOME.
  std::string file;
  int line = 0;
};

// [privacy]
struct PrivacyConfig {
  // Of requests that name their model, and of routes without their own. The default is kAllow, but
  // kLocalOnly where all routes say that.
  PrivacyMode mode = PrivacyMode::kAllow;
  std::vector<std::string> entities;  // that are masked (privacy/finder.h); empty: all
  bool masks = false;                 // a check of the guard replaces: no route is below kMask
  std::string names;  // a tagger that finds persons, organisations, places; "": none
  int line = 0;
};

// [cache]
struct CacheConfig {
  std::uint64_t max_bytes = 0;  // 0: off; [cache] without it: 64 MiB
  milliseconds ttl{600'000};
};

// [ledger]
struct LedgerConfig {
  bool enabled = true;
  std::string path;                 // "": ledger.db under TACK_HOME
  bool content = false;             // whether requests and answers are kept
  std::int64_t retention_days = 0;  // 0: for ever
  std::int64_t queue = 65536;       // records that wait; more are dropped and counted
};

// [audit]: the section turns it on.
struct AuditConfig {
  bool enabled = false;
  std::string path;         // audit.jsonl under TACK_HOME
  std::string key_file;     // audit.key under TACK_HOME; made on first use
  bool required = false;    // nothing leaves the machine before its record is durable
  bool verify_all = false;  // at start: the whole file, not only its ends
  std::uint64_t max_bytes = std::uint64_t{1} << 30;  // then it goes on in a new file; 0: never
  milliseconds flush{50};                            // between two syncs
  std::int64_t queue = 65536;  // records that wait; more are lost, and the log says how many
  int line = 0;
};

// One mistake: {12, "[upstreams.openai] base_url is missing; ..."}. Line 0: of no line of the file.
struct ConfigMistake {
  int line = 0;
  std::string message;
};

// One setting as it holds, for `tack config show`. Values of headers are hidden.
struct ConfigSetting {
  std::string key;     // "upstreams.openai.base_url"
  Json value;          // spans of time and sizes as people write them
  std::string origin;  // "file", "default", or what an override came from
  int line = 0;        // in the file
};

struct GatewayConfig {
  std::string file;  // for messages; "" without one
  ServeConfig serve;
  std::vector<LocalModelConfig> models;
  std::vector<UpstreamConfig> upstreams;
  std::vector<RouteConfig> routes;
  KeysConfig keys;
  PrivacyConfig privacy;
  guard::GuardConfig guard;
  CacheConfig cache;
  LedgerConfig ledger;
  AuditConfig audit;
  std::vector<ConfigMistake> warnings;  // what is allowed, and seldom meant
  std::vector<ConfigSetting> settings;  // all, in the order of their sections

  // What may leave of a request for this route; null: that names its model.
  PrivacyMode privacy_of(const RouteConfig* route) const;
  // Whether any request may reach an upstream at all.
  bool may_leave() const;

  const UpstreamConfig* upstream(std::string_view name) const;
  const RouteConfig* route(std::string_view name) const;
  const LocalModelConfig* model(std::string_view name) const;
};

// "upstream/model" -> both parts, when there is such an upstream. Whoever asks has looked for a
// local model of that name before: those may hold '/'.
struct UpstreamModel {
  const UpstreamConfig* upstream = nullptr;
  std::string model;
};
std::optional<UpstreamModel> split_upstream(const GatewayConfig& config, std::string_view name);

// A value that stands over the file's: a flag's or an environment variable's.
struct ConfigOverride {
  std::string key;     // "serve.port"
  std::string value;   // as typed
  std::string origin;  // "--port", "TACK_PORT"
};
// Of the environment: TACK_HOST, TACK_PORT and so on for each key of [serve], TACK_KEYS for the
// file of keys, TACK_LEDGER for the ledger's, TACK_AUDIT for the audit log's.
std::vector<ConfigOverride> environment_overrides();

// Parses and checks. Relative paths in the file are relative to its directory. Of overrides with
// the same key the last one holds: flags come after the environment. On mistakes: all of them, in
// the order of their lines. What only the machine can tell (missing model files, environment
// variables) is checked by check_environment().
std::expected<GatewayConfig, std::vector<ConfigMistake>> parse_config(
    std::string_view text, const std::filesystem::path& file,
    const std::vector<ConfigOverride>& overrides = {});
// Of what the configuration names outside itself: model files, routers, certificates, key file and
// its rights, environment variables of keys.
std::vector<ConfigMistake> check_environment(const GatewayConfig& config);

// Reads, parses and checks the environment too; the error's one line has the first mistake and how
// many more there are (`tack config validate` shows all).
Result<GatewayConfig> read_config(const std::filesystem::path& file,
                                  const std::vector<ConfigOverride>& overrides = {});

}  // namespace tack::gateway
