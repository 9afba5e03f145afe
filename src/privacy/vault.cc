#include "privacy/vault.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "privacy/characters.h"
#include "privacy/finder.h"
#include "privacy/pseudonym.h"
#include "privacy/secret_memory.h"

namespace tack::privacy {
namespace {

// What pseudonyms of an entity are called.
std::string name_of(std::string_view name) {
  if (const EntityInfo* info = entity(name)) return std::string(info->pseudonym);
  std::string out;
  for (const char c : name.substr(0, kLongestName)) {
    const auto byte = static_cast<unsigned char>(c);
    out += is_lower(byte) ? static_cast<char>(c - 32) : is_alnum(byte) ? c : '_';
  }
  return out.empty() || !is_upper(static_cast<unsigned char>(out[0])) ? "DATA" : out;
}

struct Hash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>()(text);
  }
};
template <class T>
using ByText = std::unordered_map<std::string, T, Hash, std::equal_to<>>;

}  // namespace

struct Vault::Parts {
  // The values and pseudonyms of one name.
  struct Names {
    std::string entity;
    std::unordered_map<std::string_view, std::string> pseudonyms;  // by values, which are in memory
    std::unordered_set<std::uint32_t> reserved;
    std::uint32_t last = 0;
  };

  SecretMemory memory;
  ByText<Names> names;
  ByText<std::string_view> values;  // by pseudonym
  std::size_t longest = 0;

  Names& names_of(const std::string& name, std::string_view entity_name) {
    Names& found = names[name];
    if (found.entity.empty()) found.entity = entity_name;
    return found;
  }
  const std::string& give(Names& of, std::string given, std::string_view value) {
    const std::string_view stored = memory.store(value);
    longest = std::max(longest, given.size());
    values.emplace(given, stored);
    return of.pseudonyms.emplace(stored, std::move(given)).first->second;
  }
  const std::string& pseudonym_of(const Finding& finding, std::string_view value) {
    const std::string name = name_of(finding.entity);
    Names& of = names_of(name, finding.entity);
    if (const auto known = of.pseudonyms.find(value); known != of.pseudonyms.end())
      return known->second;
    std::string given;
    do {
      given = pseudonym(name, ++of.last);
    } while (of.reserved.contains(of.last) || values.contains(given));
    return give(of, std::move(given), value);
  }
};

Vault::Vault() : parts_(std::make_unique<Parts>()) {}
Vault::~Vault() = default;

void Vault::reserve(std::string_view text) {
  for (std::size_t at = text.find('<'); at != std::string_view::npos; at = text.find('<', at + 1))
    if (const auto found = pseudonym_at(text.substr(at)))
      parts_->names[std::string(found->name)].reserved.insert(found->number);
}

std::string Vault::mask(std::string_view text, std::span<const Finding> findings) {
  std::string masked;
  masked.reserve(text.size());
  std::size_t copied = 0;
  for (const Finding& finding : findings) {
    masked.append(text, copied, finding.begin - copied);
    masked +=
        parts_->pseudonym_of(finding, text.substr(finding.begin, finding.end - finding.begin));
    copied = finding.end;
  }
  masked.append(text, copied);
  return masked;
}

Status Vault::adopt(std::string_view entity_name, std::string_view given, std::string_view value) {
  const auto parsed = pseudonym_at(given);
  if (!parsed || parsed->size != given.size())
    return fail("'{}' is no pseudonym", given.substr(0, 60));
  if (const auto known = parts_->values.find(given); known != parts_->values.end()) {
    if (known->second == value) return {};
    return fail("{} stands for two values", given);
  }
  Parts::Names& of = parts_->names_of(std::string(parsed->name), entity_name);
  if (of.pseudonyms.contains(value)) return fail("{}: its value has another pseudonym too", given);
  parts_->give(of, std::string(given), value);
  return {};
}

std::optional<std::string_view> Vault::value(std::string_view given) const {
  const auto found = parts_->values.find(given);
  if (found == parts_->values.end()) return std::nullopt;
  return found->second;
}

std::vector<Vault::Entry> Vault::entries() const {
  std::vector<Entry> all;
  for (const auto& [name, of] : parts_->names)
    for (const auto& [value, given] : of.pseudonyms) all.push_back({of.entity, given, value});
  return all;
}

std::vector<std::string> Vault::reserved() const {
  std::vector<std::string> all;
  for (const auto& [name, of] : parts_->names)
    for (const std::uint32_t number : of.reserved) all.push_back(pseudonym(name, number));
  return all;
}

std::size_t Vault::size() const {
  return parts_->values.size();
}

std::map<std::string, std::size_t> Vault::counts() const {
  std::map<std::string, std::size_t> counts;
  for (const auto& [name, of] : parts_->names)
    if (!of.pseudonyms.empty()) counts[of.entity] += of.pseudonyms.size();
  return counts;
}

std::size_t Vault::longest_pseudonym() const {
  return parts_->longest;
}

}  // namespace tack::privacy
