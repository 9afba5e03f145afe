#include <algorithm>
#include <array>
#include <functional>
#include <vector>

#include "privacy/vault.h"

namespace tack::privacy {

std::string hide_values(const Vault& vault, std::string_view text) {
  std::array<std::vector<Vault::Entry>, 256> by_first;
  for (const Vault::Entry& entry : vault.entries())
    if (!entry.value.empty())
      by_first[static_cast<unsigned char>(entry.value.front())].push_back(entry);
  for (auto& entries : by_first)
    std::ranges::sort(entries, std::greater{},
                      [](const Vault::Entry& entry) { return entry.value.size(); });
  std::string out;
  while (!text.empty()) {
    const auto& entries = by_first[static_cast<unsigned char>(text.front())];
    const auto known = std::ranges::find_if(
        entries, [&](const Vault::Entry& entry) { return text.starts_with(entry.value); });
    if (known == entries.end()) {
      out += text.front();
      text.remove_prefix(1);
    } else {
      out += known->pseudonym;
      text.remove_prefix(known->value.size());
    }
  }
  return out;
}

}  // namespace tack::privacy
