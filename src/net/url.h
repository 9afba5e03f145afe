// URLs of HTTP servers, taken apart.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tack::net {

struct Url {
  bool tls = false;
  std::string host;  // without the brackets of an IPv6 address
  std::uint16_t port = 0;
  std::string target;  // path and query, at least "/"

  std::string host_header() const;  // "host[:port]", the port only where it is not the default one
};
Result<Url> parse_url(std::string_view url);  // kUsage

}  // namespace tack::net
