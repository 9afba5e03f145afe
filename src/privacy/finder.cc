#include "privacy/finder.h"

#include <algorithm>
#include <bitset>

#include "base/nearest.h"
#include "privacy/scanner.h"

namespace tack::privacy {
namespace {

using Wanted = std::bitset<static_cast<std::size_t>(Id::kCount)>;

constexpr std::size_t kContext = 256;  // scan positions that recognisers read before a finding

class PatternFinder : public Finder {
 public:
  explicit PatternFinder(const Wanted& wanted) : wanted_(wanted) {}

  std::vector<Finding> find(std::string_view text, std::size_t from) const override {
    const ScanText scanned(text);
    const std::size_t keep = scanned.position_of(std::min(from, text.size()));
    const Scan all = scan(scanned, keep > kContext ? keep - kContext : 0, keep);
    std::vector<Finding> findings;
    for (const Candidate& c : all.found) {
      const auto id = static_cast<std::size_t>(c.id);
      if (!wanted_.test(id)) continue;
      findings.push_back({std::string(entities()[id].name), scanned.begin_in_text(c.begin),
                          scanned.end_in_text(c.end), c.score});
    }
    return findings;
  }

  std::size_t held_back(std::string_view text) const override {
    const std::size_t cut = cut_character(text);
    const std::string_view whole = text.substr(0, text.size() - cut);
    std::size_t held = held_at_end(whole, tail_begin(whole));
    if (held == kUnknown) held = held_at_end(whole, 0);
    return std::min(held + cut, kMostHeldBytes);
  }

 private:
  static constexpr std::size_t kUnknown = static_cast<std::size_t>(-1);
  static constexpr std::size_t kTail = 4096;

  // Where a look at the end of a long text may begin; 0: it has to be read whole.
  static std::size_t tail_begin(std::string_view text) {
    if (text.size() <= 2 * kTail) return 0;
    std::size_t begin = text.size() - kTail;
    while (begin > 0 && static_cast<unsigned char>(text[begin]) >= 0x80) --begin;
    // A private key may have begun long before.
    if (text.substr(begin).find("-----") != std::string_view::npos) return 0;
    return begin;
  }

  // Of a text whose first `skipped` bytes are not read; kUnknown: they would be needed.
  static std::size_t held_at_end(std::string_view text, std::size_t skipped) {
    const std::string_view tail = text.substr(skipped);
    const ScanText scanned(tail);
    if (skipped > 0 && scanned.size() < 4 * kContext) return kUnknown;
    const Scan all = scan(scanned, 0, 0);
    if (skipped > 0 && all.last_cluster < 2 * kContext) return kUnknown;
    return tail.size() - (all.cut == scanned.size() ? tail.size() : scanned.begin_in_text(all.cut));
  }

  const Wanted wanted_;
};

}  // namespace

Result<std::shared_ptr<const Finder>> Finder::create(std::span<const std::string> names) {
  Wanted wanted;
  if (names.empty()) wanted.set();
  for (const std::string& name : names) {
    const EntityInfo* info = entity(name);
    if (info == nullptr) {
      std::vector<std::string> known;
      std::string meant;  // what a pseudonym is called, or the beginning of a name
      for (const EntityInfo& each : entities()) {
        known.emplace_back(each.name);
        if (meant.empty() && !name.empty() &&
            (each.pseudonym == name || each.name.starts_with(name)))
          meant = fmt::format("; did you mean '{}'?", each.name);
      }
      if (meant.empty()) meant = did_you_mean(name, known);
      return fail(ErrorCode::kUsage, "there is no entity '{}'{} `tack pii entities` lists them",
                  name.substr(0, 60), meant.empty() ? ";" : meant);
    }
    wanted.set(static_cast<std::size_t>(info - entities().data()));
  }
  return std::make_shared<const PatternFinder>(wanted);
}

}  // namespace tack::privacy
