#include "net/address.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include <arpa/inet.h>

namespace tack::net {
namespace {

using V6 = std::array<std::uint8_t, 16>;

std::string bare(std::string_view host) {
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return std::string(host);
}

// An IPv4 address as ::ffff:a.b.c.d.
std::optional<V6> parse_address(std::string_view host) {
  const std::string text = bare(host);
  if (text.contains('\0')) return {};
  V6 address{};
  if (inet_pton(AF_INET6, text.c_str(), address.data()) == 1) return address;
  if (host.starts_with('[') || inet_pton(AF_INET, text.c_str(), address.data() + 12) != 1)
    return {};
  address[10] = address[11] = 0xff;
  return address;
}

bool is_v4(const V6& a) {
  for (std::size_t i = 0; i < 10; ++i)
    if (a[i] != 0) return false;
  return a[10] == 0xff && a[11] == 0xff;
}

bool is_loopback(const V6& a) {
  if (is_v4(a)) return a[12] == 127;
  V6 one{};
  one[15] = 1;
  return a == one;
}

bool is_private(const V6& a) {
  if (is_loopback(a)) return true;
  if (!is_v4(a))  // unique local fc00::/7, link-local fe80::/10
    return (a[0] & 0xfe) == 0xfc || (a[0] == 0xfe && (a[1] & 0xc0) == 0x80);
  return a[12] == 10 || (a[12] == 172 && (a[13] & 0xf0) == 16) || (a[12] == 192 && a[13] == 168) ||
         (a[12] == 169 && a[13] == 254) || (a[12] == 100 && (a[13] & 0xc0) == 64);
}

}  // namespace

bool is_ip_address(std::string_view host) {
  return parse_address(host).has_value();
}

bool is_loopback(std::string_view host) {
  const auto address = parse_address(host);
  return address ? is_loopback(*address) : host == "localhost";
}

bool is_private(std::string_view host) {
  if (const auto address = parse_address(host)) return is_private(*address);
  if (host == "localhost" || !host.contains('.')) return true;
  for (const std::string_view end : {".local", ".internal", ".lan", ".home.arpa", ".localhost"})
    if (host.ends_with(end)) return true;
  return false;
}

}  // namespace tack::net
