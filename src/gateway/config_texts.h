// For tests: configurations parsed from text.
#pragma once

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "gateway/config.h"

namespace tack::gateway {

// What is right around a mistake: a model, an upstream and a route, 9 lines.
inline constexpr const char* kGood = R"([models.tickets]
path = "tickets.gguf"
[upstreams.openai]
base_url = "https://api.openai.com/v1"
key_env = "OPENAI_API_KEY"
[upstreams.openai.prices]
"gpt-4.1" = { input = 2, output = 8, cached_input = 0.5 }
[routes.auto]
to = ["tickets", "openai/gpt-4.1"]
)";
inline constexpr int kGoodLines = 9;

inline std::string all(const std::vector<ConfigMistake>& mistakes) {
  std::string text;
  for (const ConfigMistake& mistake : mistakes)
    text += fmt::format("{}: {}\n", mistake.line, mistake.message);
  return text;
}

inline GatewayConfig parsed(const std::string& text,
                            const std::vector<ConfigOverride>& overrides = {}) {
  auto config = parse_config(text, "/etc/tack/tack.toml", overrides);
  EXPECT_TRUE(config) << all(config.error());
  return config ? *std::move(config) : GatewayConfig();
}

inline std::vector<ConfigMistake> mistakes(const std::string& text,
                                           const std::vector<ConfigOverride>& overrides = {}) {
  auto config = parse_config(text, "/etc/tack/tack.toml", overrides);
  EXPECT_FALSE(config) << text;
  return config ? std::vector<ConfigMistake>() : std::move(config).error();
}

}  // namespace tack::gateway
