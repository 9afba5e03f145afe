#include "gateway/egress_summary.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "net/address.h"
#include "net/client.h"

namespace tack::gateway {

std::vector<std::string> hosts_outside(const GatewayConfig& config) {
  std::vector<std::string> hosts;
  if (!config.may_leave()) return hosts;
  for (const UpstreamConfig& upstream : config.upstreams)
    if (const auto url = net::parse_url(upstream.base_url);
        url && !net::is_loopback(url->host) && std::ranges::find(hosts, url->host) == hosts.end())
      hosts.push_back(url->host);
  return hosts;
}

std::string what_may_leave(const GatewayConfig& config) {
  const std::vector<std::string> hosts = hosts_outside(config);
  if (hosts.empty()) return "nothing leaves this machine";
  std::string text = fmt::format("texts may leave this machine for {}", fmt::join(hosts, ", "));
  std::vector<std::string> masked, local;
  bool open = config.privacy.mode == PrivacyMode::kAllow;
  for (const RouteConfig& route : config.routes) {
    const PrivacyMode mode = config.privacy_of(&route);
    open = open || mode == PrivacyMode::kAllow;
    if (mode == PrivacyMode::kMask) masked.push_back(route.name);
    if (mode == PrivacyMode::kLocalOnly) local.push_back(route.name);
  }
  if (!open) return text + ", with pseudonyms for personal data";
  if (!masked.empty())
    text += fmt::format(", on {} with pseudonyms for personal data", fmt::join(masked, ", "));
  if (!local.empty()) text += fmt::format(", on {} not at all", fmt::join(local, ", "));
  return text;
}

}  // namespace tack::gateway
