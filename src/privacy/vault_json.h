// A vault as JSON, to mask now and restore later.
#pragma once

#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "privacy/vault.h"

namespace tack::privacy {

// {"format": "tack-vault", "values": [{"entity", "pseudonym", "value"}, ...], "reserved":
// ["<EMAIL_7>",
// ...]} in the order of names and numbers. A value that is not UTF-8 stands as "hex" in place of
// "value". The values are readable: who writes this to a file sets its rights.
Json vault_json(const Vault& vault);
// Adds what such JSON holds to `vault`. kFailed with `name` and what is wrong.
Status fill_vault(const Json& json, std::string_view name, Vault& vault);

}  // namespace tack::privacy
