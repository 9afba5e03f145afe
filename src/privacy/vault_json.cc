#include "privacy/vault_json.h"

#include <algorithm>
#include <tuple>

#include <sodium.h>

#include "privacy/pseudonym.h"
#include "text/unicode.h"

namespace tack::privacy {
namespace {

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const CodePoint c = first_code_point(text);
    if (c.value < 0) return false;
    text.remove_prefix(c.bytes);
  }
  return true;
}

std::string hex_of(std::string_view bytes) {
  std::string out(bytes.size() * 2 + 1, '\0');
  sodium_bin2hex(out.data(), out.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                 bytes.size());
  out.pop_back();
  return out;
}

Result<std::string> bytes_of(const std::string& hex) {
  std::string out(hex.size() / 2, '\0');
  std::size_t size = 0;
  const char* end = nullptr;
  if (sodium_hex2bin(reinterpret_cast<unsigned char*>(out.data()), out.size(), hex.data(),
                     hex.size(), nullptr, &size, &end) != 0 ||
      end != hex.data() + hex.size())
    return fail("\"hex\" is no hexadecimal number");
  return out;
}

Result<std::string> text_of(const Json& entry, const char* member) {
  const Json* found = find_member(entry, member);
  if (found == nullptr || !found->is_string()) return fail("\"{}\" is missing", member);
  return found->get<std::string>();
}

Status add_entry(const Json& entry, Vault& vault) {
  TACK_TRY(const auto entity, text_of(entry, "entity"));
  TACK_TRY(const auto pseudonym, text_of(entry, "pseudonym"));
  std::string value;
  if (find_member(entry, "hex") != nullptr) {
    TACK_TRY(const auto hex, text_of(entry, "hex"));
    TACK_TRY(value, bytes_of(hex));
  } else {
    TACK_TRY(value, text_of(entry, "value"));
  }
  return vault.adopt(entity, pseudonym, value);
}

}  // namespace

Json vault_json(const Vault& vault) {
  std::vector<Vault::Entry> entries = vault.entries();
  std::ranges::sort(entries, {}, [](const Vault::Entry& entry) {
    const auto parsed = pseudonym_at(entry.pseudonym);
    return std::tuple(parsed->name, parsed->number);
  });
  Json values = Json::array();
  for (const Vault::Entry& entry : entries) {
    Json one = {{"entity", entry.entity}, {"pseudonym", entry.pseudonym}};
    if (is_utf8(entry.value))
      one["value"] = entry.value;
    else
      one["hex"] = hex_of(entry.value);
    values.push_back(std::move(one));
  }
  std::vector<std::string> reserved = vault.reserved();
  std::ranges::sort(reserved);
  return {{"format", "tack-vault"}, {"values", std::move(values)}, {"reserved", reserved}};
}

Status fill_vault(const Json& json, std::string_view name, Vault& vault) {
  const Json* format = find_member(json, "format");
  const Json* values = find_member(json, "values");
  if (format == nullptr || *format != "tack-vault" || values == nullptr || !values->is_array())
    return fail("{}: this is no vault that `tack pii mask --vault` wrote", name);
  for (std::size_t i = 0; i < values->size(); ++i)
    if (auto status = add_entry((*values)[i], vault); !status)
      return std::unexpected(
          std::move(status).error().in(fmt::format("{}: value {}", name, i + 1)));
  if (const Json* reserved = find_member(json, "reserved"); reserved != nullptr)
    for (const Json& each : *reserved) {
      if (!each.is_string()) return fail("{}: \"reserved\" is no list of pseudonyms", name);
      vault.reserve(each.get<std::string>());
    }
  return {};
}

}  // namespace tack::privacy
