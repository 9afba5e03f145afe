#include "gateway/config.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <set>

#include "base/atomic_file.h"
#include "gateway/config_reader.h"

namespace tack::gateway {
namespace {

constexpr std::array kServeKeys = {"host",     "port",  "threads",  "io_threads",
                                   "max_body", "grace", "heartbeat"};

template <class T>
const T* find_named(const std::vector<T>& all, std::string_view name) {
  const auto found = std::ranges::find(all, name, &T::name);
  return found == all.end() ? nullptr : &*found;
}

// Digits are a number, anything else a text: no setting that can be overridden takes either.
void insert(toml::table& section, std::string_view key, const std::string& value) {
  const bool number = !value.empty() && value.size() < 18 &&
                      value.find_first_not_of("0123456789") == std::string::npos;
  if (number)
    section.insert_or_assign(key, std::int64_t{std::atoll(value.c_str())});
  else
    section.insert_or_assign(key, value);
}

void apply(const std::vector<ConfigOverride>& overrides, toml::table& root, TomlNotes& notes) {
  for (const ConfigOverride& override : overrides) {
    const std::size_t dot = override.key.find('.');
    const std::string section = override.key.substr(0, dot);
    if (!root.contains(section)) root.insert(section, toml::table());
    toml::table* table = root.get_as<toml::table>(section);
    if (table == nullptr || dot == std::string::npos) continue;  // said when the section is read
    insert(*table, override.key.substr(dot + 1), override.value);
    notes.overrides[override.key] = override.origin;
  }
}

// Names and texts of the file stand in messages: whatever they hold, each stays one line.
void tidy(std::vector<ConfigMistake>& mistakes) {
  for (ConfigMistake& mistake : mistakes) {
    for (char& c : mistake.message)
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
    if (mistake.message.size() > 1000) mistake.message.resize(1000);
  }
  std::ranges::stable_sort(mistakes, {}, &ConfigMistake::line);
}

}  // namespace

PrivacyMode GatewayConfig::privacy_of(const RouteConfig* route) const {
  const PrivacyMode mode = route != nullptr && route->privacy ? *route->privacy : privacy.mode;
  return privacy.masks ? std::max(mode, PrivacyMode::kMask) : mode;
}
bool GatewayConfig::may_leave() const {
  return !upstreams.empty() && (privacy.mode != PrivacyMode::kLocalOnly ||
                                std::ranges::any_of(routes, [&](const RouteConfig& route) {
                                  return privacy_of(&route) != PrivacyMode::kLocalOnly;
                                }));
}

const UpstreamConfig* GatewayConfig::upstream(std::string_view name) const {
  return find_named(upstreams, name);
}
const RouteConfig* GatewayConfig::route(std::string_view name) const {
  return find_named(routes, name);
}
const LocalModelConfig* GatewayConfig::model(std::string_view name) const {
  return find_named(models, name);
}

std::optional<UpstreamModel> split_upstream(const GatewayConfig& config, std::string_view name) {
  const std::size_t slash = name.find('/');
  if (slash == std::string_view::npos || slash + 1 == name.size()) return {};
  const UpstreamConfig* upstream = config.upstream(name.substr(0, slash));
  if (upstream == nullptr) return {};
  return UpstreamModel{upstream, std::string(name.substr(slash + 1))};
}

std::vector<ConfigOverride> environment_overrides() {
  std::vector<ConfigOverride> all;
  const auto take = [&](std::string key, std::string variable) {
    const char* value = std::getenv(variable.c_str());
    if (value != nullptr && *value != '\0')
      all.push_back({std::move(key), value, std::move(variable)});
  };
  for (const char* key : kServeKeys) {
    std::string variable = fmt::format("TACK_{}", key);
    std::ranges::transform(variable, variable.begin(),
                           [](unsigned char c) { return std::toupper(c); });
    take(fmt::format("serve.{}", key), variable);
  }
  take("keys.file", "TACK_KEYS");
  take("ledger.path", "TACK_LEDGER");
  take("audit.path", "TACK_AUDIT");
  return all;
}

std::expected<GatewayConfig, std::vector<ConfigMistake>> parse_config(
    std::string_view text, const std::filesystem::path& file,
    const std::vector<ConfigOverride>& overrides) {
  TomlNotes notes;
  GatewayConfig config;
  config.file = file.string();
  if (auto table = parse_toml(text, notes)) {
    apply(overrides, *table, notes);
    TomlSection root = TomlSection::root(*table, notes);
    read_serve(root, config);
    read_models(root, config);
    read_upstreams(root, config);
    read_keys_section(root, config);
    read_guard(root, config);
    read_routes(root, config);
    read_privacy(root, config);
    read_storage(root, config);
    read_audit(root, config);
    root.finish();
  }
  tidy(notes.mistakes);
  tidy(notes.warnings);
  if (!notes.mistakes.empty()) return std::unexpected(std::move(notes.mistakes));
  config.warnings = std::move(notes.warnings);
  config.settings = std::move(notes.settings);
  return config;
}

Result<GatewayConfig> read_config(const std::filesystem::path& file,
                                  const std::vector<ConfigOverride>& overrides) {
  constexpr std::size_t kMaxBytes = std::size_t{1} << 20;
  TACK_TRY(const std::string text, read_file(file, kMaxBytes));
  auto config = parse_config(text, file, overrides);
  const std::vector<ConfigMistake> mistakes =
      config ? check_environment(*config) : std::move(config).error();
  if (mistakes.empty()) return *std::move(config);
  const ConfigMistake& first = mistakes.front();
  const std::string line = first.line > 0 ? fmt::format(":{}", first.line) : "";
  const std::string more = mistakes.size() == 1
                               ? ""
                               : fmt::format(" (and {} more: tack config validate {})",
                                             mistakes.size() - 1, file.string());
  return fail(ErrorCode::kUsage, "{}{}: {}{}", file.string(), line, first.message, more);
}

}  // namespace tack::gateway
