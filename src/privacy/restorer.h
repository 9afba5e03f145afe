// Puts values back in the place of their pseudonyms, in a text that comes in pieces.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "privacy/vault.h"

namespace tack::privacy {

// All pieces together give the same bytes wherever the text was cut. What looks like a pseudonym
// and was not given out stays as it is. Used on one strand; the vault outlives it.
class Restorer {
 public:
  // `write`: how a value is written, for texts inside of other notations (json_text() for the
  // arguments of tools); empty: as it is.
  explicit Restorer(const Vault& vault, std::function<std::string(std::string_view)> write = {});

  // What can be given out now; the rest is held until more comes. At most
  // vault.longest_pseudonym() - 1 bytes are held.
  std::string add(std::string_view piece);
  // What is still held, at the end.
  std::string finish();

 private:
  const Vault& vault_;
  const std::function<std::string(std::string_view)> write_;
  std::string held_;
};

// A value inside a JSON string, without the quotes.
std::string json_text(std::string_view value);
// Of a whole text.
std::string restore(const Vault& vault, std::string_view text);

}  // namespace tack::privacy
