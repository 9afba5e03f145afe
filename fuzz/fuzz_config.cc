// Any text as tack.toml and as a file of keys: mistakes of one line each, or a configuration that
// names only what it has.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "gateway/config.h"
#include "gateway/key_file.h"

namespace {

using namespace tack::gateway;

void require(bool holds) {
  if (!holds) std::abort();
}

bool one_line(const std::string& text) {
  return !text.empty() &&
         std::ranges::none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

void check_target(const GatewayConfig& config, const std::string& name) {
  require(config.model(name) != nullptr || split_upstream(config, name).has_value());
}

void check_targets(const GatewayConfig& config, const TargetConfig& target) {
  require(!target.models.empty());
  for (const std::string& name : target.models) check_target(config, name);
  require(!target.min_confidence || (*target.min_confidence >= 0 && *target.min_confidence <= 1));
}

void check(const GatewayConfig& config) {
  for (const RouteConfig& route : config.routes) {
    require(config.model(route.name) == nullptr && !route.name.contains('/'));
    check_targets(config, route.to);
    check_target(config, route.baseline);
    for (const RuleConfig& rule : route.rules) {
      check_targets(config, rule.to);
      require(!rule.intent || config.model(rule.intent->model) != nullptr);
    }
    if (route.shadow) check_target(config, route.shadow->model);
  }
  for (const ConfigSetting& setting : config.settings)
    require(!tack::to_text(setting.value).empty() && !setting.origin.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto config = parse_config(text, "fuzz.toml")) {
    check(*config);
    for (const ConfigMistake& warning : config->warnings) require(one_line(warning.message));
  } else {
    require(!config.error().empty());
    for (const ConfigMistake& mistake : config.error()) require(one_line(mistake.message));
    require(std::ranges::is_sorted(config.error(), {}, &ConfigMistake::line));
  }
  if (const auto keys = parse_keys(text, "fuzz.toml"))
    for (const Key& key : *keys) require(is_key_name(key.name));
  return 0;
}
