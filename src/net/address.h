// What a host name or address says of itself, without asking anyone.
#pragma once

#include <string_view>

namespace tack::net {

// "127.0.0.1", "::1", "[::1]"; not a name.
bool is_ip_address(std::string_view host);

// Only this machine: "localhost", 127.0.0.0/8, ::1.
bool is_loopback(std::string_view host);

// Not on the public internet: loopback, private and link-local addresses, names without a dot and
// those under .local, .internal, .lan and .home.arpa.
bool is_private(std::string_view host);

}  // namespace tack::net
