// What may leave this machine of a request.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tack::gateway {

// From loose to strict.
enum class PrivacyMode : std::uint8_t {
  kAllow,      // upstreams get the request as it is
  kMask,       // personal data and secrets are replaced by pseudonyms, and put back in the answer
  kLocalOnly,  // upstreams are not asked
};

inline const std::vector<std::string>& privacy_mode_names() {
  static const std::vector<std::string> names{"allow", "mask", "local-only"};
  return names;
}
inline const std::string& name_of(PrivacyMode mode) {
  return privacy_mode_names()[static_cast<std::size_t>(mode)];
}
inline std::optional<PrivacyMode> privacy_mode(std::string_view name) {
  const auto& names = privacy_mode_names();
  const auto at = std::ranges::find(names, name);
  if (at == names.end()) return std::nullopt;
  return static_cast<PrivacyMode>(at - names.begin());
}

}  // namespace tack::gateway
