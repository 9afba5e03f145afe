// What a configuration lets out of this machine, in words.
#pragma once

#include <string>
#include <vector>

#include "gateway/config.h"

namespace tack::gateway {

// Hosts of upstreams that are not on this machine, where anything may leave at all.
std::vector<std::string> hosts_outside(const GatewayConfig& config);

// "nothing leaves this machine", or "texts may leave this machine for api.openai.com, on route
// 'drafts' with pseudonyms for personal data".
std::string what_may_leave(const GatewayConfig& config);

}  // namespace tack::gateway
