// Finds personal data and secrets by pattern, checksum and the words around.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "privacy/finding.h"

namespace tack::privacy {

// One kind of what is found.
struct EntityInfo {
  std::string_view name;         // "EMAIL_ADDRESS"; where Presidio has a name it is that
  std::string_view pseudonym;    // "EMAIL": its pseudonyms are <EMAIL_1>, <EMAIL_2>
  std::string_view description;  // for people
  bool secret = false;           // keys and passwords, not persons
  bool by_model = false;         // persons, organisations, places: a tagger's work, not patterns'
  bool checksum = false;         // its numbers carry check digits or letters
};
std::span<const EntityInfo> entities();
const EntityInfo* entity(std::string_view name);  // null: there is none

// Immutable; any thread. Time is linear in the text.
class Finder {
 public:
  // `names`: of entities(); empty: all that patterns find. Errors: kUsage, a name that is none,
  // with the one that was probably meant.
  static Result<std::shared_ptr<const Finder>> create(std::span<const std::string> names = {});
  virtual ~Finder() = default;

  // Without overlaps, in the text's order. Invalid UTF-8 is text like any other. Only what begins
  // at `from` or after: what stands before is read as context, where a stream has passed it on
  // already.
  virtual std::vector<Finding> find(std::string_view text, std::size_t from = 0) const = 0;
  // Of a text that goes on: how many of its last bytes may be the beginning of something that only
  // further text would show. What stands before them is as find() says now. At most kMostHeldBytes:
  // of a key that is longer (a PEM block, a web token) a part may stand before them; it is found
  // from its beginning on, and with further text only its end moves.
  virtual std::size_t held_back(std::string_view text) const = 0;
  static constexpr std::size_t kMostHeldBytes = 512;
  // A stream needs to keep no more than so many bytes before what it holds back, to find the same
  // in what follows (find() with `from`) as in the whole text.
  static constexpr std::size_t kContextBytes = 512;
};

}  // namespace tack::privacy
