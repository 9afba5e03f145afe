// Personal data in any bytes: findings are in order and inside, a cut finds the same, and what is
// masked comes back. The first two bytes say where the text and the answer are cut.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "privacy/finder.h"
#include "privacy/restorer.h"
#include "privacy/vault.h"
#include "privacy/vault_json.h"

namespace {

using tack::privacy::Finder;

// What is found before what is held back, is found in the whole text.
void check_cut(const Finder& finder, std::string_view text, std::size_t split) {
  const auto whole = finder.find(text);
  const std::string_view begun = text.substr(0, split);
  const std::size_t held = finder.held_back(begun);
  if (held > begun.size() || held > Finder::kMostHeldBytes) std::abort();
  const std::size_t cut = begun.size() - held;
  auto same = whole.begin();
  for (const auto& f : finder.find(begun)) {
    if (f.begin >= cut) break;
    if (same == whole.end() || same->begin != f.begin || same->entity != f.entity) std::abort();
    if (same->end != f.end && f.end <= cut) std::abort();
    ++same;
  }
  if (same != whole.end() && same->begin < cut) std::abort();
}

void check_restored(const tack::privacy::Vault& vault, std::string_view masked, std::size_t split,
                    std::string_view text) {
  tack::privacy::Restorer restorer(vault);
  std::string out = restorer.add(masked.substr(0, split));
  out += restorer.add(masked.substr(split));
  out += restorer.finish();
  if (out != text) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto finder = *Finder::create();
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 2), size - 2);
  const auto findings = finder->find(text);
  std::size_t end = 0;
  for (const auto& f : findings) {
    if (f.begin < end || f.end <= f.begin || f.end > text.size()) std::abort();
    end = f.end;
  }
  check_cut(*finder, text, text.size() * data[0] / 255);

  tack::privacy::Vault vault;
  vault.reserve(text);
  const std::string masked = vault.mask(text, findings);
  check_restored(vault, masked, masked.size() * data[1] / 255, text);
  tack::privacy::Vault again;
  if (!tack::privacy::fill_vault(tack::privacy::vault_json(vault), "vault", again)) std::abort();
  check_restored(again, masked, masked.size(), text);
  // Any bytes as a vault's file.
  tack::privacy::Vault other;
  if (const auto json = tack::parse_json(text, "fuzz"))
    (void)tack::privacy::fill_vault(*json, "fuzz", other);
  return 0;
}
