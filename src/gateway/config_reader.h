// The steps of parse_config(), in their order. Each reads its sections into `config` and says what
// is wrong with them.
#pragma once

#include <string>

#include "gateway/toml_section.h"

namespace tack::gateway {

void read_serve(TomlSection& root, GatewayConfig& config);
void read_models(TomlSection& root, GatewayConfig& config);
void read_upstreams(TomlSection& root, GatewayConfig& config);
// After models and upstreams: routes name them.
void read_routes(TomlSection& root, GatewayConfig& config);
void read_storage(TomlSection& root, GatewayConfig& config);  // [keys], [cache], [ledger]

// What the steps share.

// The directory that relative paths of the file are relative to.
std::filesystem::path directory_of(const GatewayConfig& config);
// Says so unless the section's name can stand in a request's "model" and in a header.
void check_name(TomlSection& section, bool slash);
bool is_header_name(std::string_view name);
bool is_header_value(std::string_view value);

}  // namespace tack::gateway
