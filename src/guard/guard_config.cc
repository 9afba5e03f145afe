#include "guard/guard_config.h"

#include <array>

namespace tack::guard {

std::string_view stage_name(Stage stage) {
  constexpr std::array<std::string_view, 3> kNames{"pre_flight", "input", "output"};
  return kNames[static_cast<std::size_t>(stage)];
}

std::optional<Stage> stage_named(std::string_view name) {
  for (const Stage stage : {Stage::kPreFlight, Stage::kInput, Stage::kOutput})
    if (name == stage_name(stage)) return stage;
  return std::nullopt;
}

std::string_view check_kind_name(CheckKind kind) {
  constexpr std::array<std::string_view, 12> kNames{"unsafe",   "injection", "topic",  "pii",
                                                    "secrets",  "words",     "regex",  "urls",
                                                    "language", "length",    "schema", "grounded"};
  return kNames[static_cast<std::size_t>(kind)];
}

const std::vector<CheckConfig>& GuardConfig::checks(Stage stage) const {
  if (stage == Stage::kPreFlight) return pre_flight;
  return stage == Stage::kInput ? input : output;
}

}  // namespace tack::guard
