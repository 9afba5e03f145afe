// The steps of parse_config(), in their order. Each reads its sections into `config` and says what
// is wrong with them.
#pragma once

#include <string>

#include "gateway/toml_section.h"

namespace tack::gateway {

void read_serve(TomlSection& root, GatewayConfig& config);
void read_models(TomlSection& root, GatewayConfig& config);
void read_upstreams(TomlSection& root, GatewayConfig& config);
void read_keys_section(TomlSection& root, GatewayConfig& config);
// After models, before routes: the guard's own model counts among them.
void read_guard(TomlSection& root, GatewayConfig& config);
// After models, upstreams and keys: routes name them.
void read_routes(TomlSection& root, GatewayConfig& config);
void read_privacy(TomlSection& root, GatewayConfig& config);  // after routes and the guard
void read_storage(TomlSection& root, GatewayConfig& config);  // [cache], [ledger]
void read_audit(TomlSection& root, GatewayConfig& config);

// What the steps share.

// The directory that relative paths of the file are relative to.
std::filesystem::path directory_of(const GatewayConfig& config);
// A path: one that a flag or variable gave is relative to where the program runs instead.
void read_path(TomlSection& section, const char* key, const GatewayConfig& config,
               std::string& path);
// Whether it can stand in a request's "model" and in a header; `slash`: with '/' inside.
bool is_name(std::string_view name, bool slash);
// Says so unless the section's name is one.
void check_name(TomlSection& section, bool slash);
// A word of privacy_mode_names().
void read_privacy_mode(TomlSection& section, const char* key, std::optional<PrivacyMode>& mode);
bool is_header_name(std::string_view name);
bool is_header_value(std::string_view value);

}  // namespace tack::gateway
