#include <algorithm>

#include "gateway/config.h"

namespace tack::gateway {
namespace {

template <class T>
const T* by_name(const std::vector<T>& all, std::string_view name) {
  const auto found = std::ranges::find(all, name, &T::name);
  return found == all.end() ? nullptr : &*found;
}

}  // namespace

const UpstreamConfig* GatewayConfig::upstream(std::string_view name) const {
  return by_name(upstreams, name);
}

const RouteConfig* GatewayConfig::route(std::string_view name) const {
  return by_name(routes, name);
}

const LocalModelConfig* GatewayConfig::model(std::string_view name) const {
  return by_name(models, name);
}

std::optional<UpstreamModel> split_upstream(const GatewayConfig& config, std::string_view name) {
  const std::size_t slash = name.find('/');
  if (slash == name.npos || slash + 1 == name.size()) return std::nullopt;
  const UpstreamConfig* upstream = config.upstream(name.substr(0, slash));
  if (upstream == nullptr) return std::nullopt;
  return UpstreamModel{upstream, std::string(name.substr(slash + 1))};
}

}  // namespace tack::gateway
