// [privacy], and the modes of routes and keys.
#include <algorithm>

#include "gateway/config_reader.h"
#include "privacy/finder.h"

namespace tack::gateway {

void read_privacy_mode(TomlSection& section, const char* key, std::optional<PrivacyMode>& mode) {
  std::string word;
  if (section.read_word(key, privacy_mode_names(), word)) mode = privacy_mode(word);
}

void read_privacy(TomlSection& root, GatewayConfig& config) {
  TomlSection section = root.section("privacy");
  PrivacyConfig& privacy = config.privacy;
  privacy.line = section.line();
  std::optional<PrivacyMode> mode;
  read_privacy_mode(section, "mode", mode);
  const bool all_local =
      !config.routes.empty() && std::ranges::all_of(config.routes, [](const RouteConfig& route) {
        return route.privacy == PrivacyMode::kLocalOnly;
      });
  privacy.mode = mode.value_or(all_local ? PrivacyMode::kLocalOnly : PrivacyMode::kAllow);
  section.read_texts("entities", privacy.entities);
  if (const auto finder = privacy::Finder::create(privacy.entities); !finder)
    section.mistake("entities", "is wrong: {}", finder.error().message);
  if (section.read("names", privacy.names) && config.model(privacy.names) == nullptr)
    section.mistake("names",
                    "must be a model of this file that finds spans: every text is shown to it");
  section.finish();
  if (!config.guard.enabled || config.guard.observe) return;
  for (const guard::CheckConfig& check : config.guard.pre_flight) {
    if (check.kind != guard::CheckKind::kPii || !check.mask || check.observe) continue;
    privacy.masks = true;
    if (privacy.entities.empty()) privacy.entities = check.only;
    if (privacy.names.empty()) privacy.names = check.model;
  }
}

}  // namespace tack::gateway
