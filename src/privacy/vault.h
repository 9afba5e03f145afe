// The values that pseudonyms stand for, of one request.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "privacy/finding.h"

namespace tack::privacy {

// Values lie in memory that core dumps leave out and that is wiped when the vault is destroyed.
// Used on one strand.
//
// The same value of an entity is always the same pseudonym. Numbers go up in the order in which
// values are first seen, so a conversation that is sent again from its beginning gets the same
// ones.
class Vault {
 public:
  Vault();
  ~Vault();
  Vault(const Vault&) = delete;
  Vault& operator=(const Vault&) = delete;

  // Text that already looks like pseudonyms (a user types "<EMAIL_1>"): those numbers are not given
  // out. Call it for all texts of the request before the first mask().
  void reserve(std::string_view text);
  // `text` with its findings replaced. Findings do not overlap and are in order. An entity that is
  // none of entities() (a tagger's own label) is named as it is, in capitals.
  std::string mask(std::string_view text, std::span<const Finding> findings);

  // Gives out a pseudonym for a value that was given one before: by a vault of which a file was
  // kept (vault_json.h). kFailed: it stands for another value here, or is no pseudonym.
  Status adopt(std::string_view entity, std::string_view pseudonym, std::string_view value);

  // What a pseudonym ("<EMAIL_1>") stands for; nullopt: it was not given out here. The view holds
  // as long as the vault.
  std::optional<std::string_view> value(std::string_view pseudonym) const;

  // Everything that was given out, in no particular order.
  struct Entry {
    std::string_view entity, pseudonym, value;
  };
  std::vector<Entry> entries() const;
  std::vector<std::string> reserved() const;          // pseudonyms that texts spelled out
  std::size_t size() const;                           // values
  std::map<std::string, std::size_t> counts() const;  // of values, by entity
  // Of pseudonyms that were given out: no more than so many bytes of a stream need to be held.
  std::size_t longest_pseudonym() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// `text` with every value that the vault knows replaced by its pseudonym, the longest first,
// wherever it stands: for what is kept of answers.
std::string hide_values(const Vault& vault, std::string_view text);

}  // namespace tack::privacy
