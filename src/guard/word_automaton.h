// Many words looked for at once (Aho and Corasick 1975).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tack::guard {

// Of folded words in folded text (normalize.h). Immutable; any thread. Linear in the text.
class WordAutomaton {
 public:
  explicit WordAutomaton(std::span<const std::string> words);

  struct Match {
    std::size_t word = 0;            // its number
    std::size_t begin = 0, end = 0;  // bytes of the text
  };
  // The first word that stands in the text by itself: beside its letters and digits stand none, but
  // for scripts that put no spaces between words. `goes_on`: what ends where the text does may yet
  // go on as another word, and does not count.
  std::optional<Match> find(std::string_view text, bool goes_on = false) const;
  // How many of the text's last bytes begin a word, or are one that may end there.
  std::size_t open_bytes(std::string_view text) const;

 private:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  struct Node {
    std::uint32_t first = 0, count = 0;  // of edges_
    std::uint32_t fail = 0;              // the longest proper suffix that begins a word
    std::uint32_t output = kNone;        // the nearest suffix (or itself) that is a word
    std::uint32_t word = kNone;
    std::uint32_t depth = 0;
  };
  struct Edge {
    std::uint8_t byte = 0;
    std::uint32_t to = 0;
  };
  std::uint32_t child(std::uint32_t node, std::uint8_t byte) const;
  std::uint32_t step(std::uint32_t node, std::uint8_t byte) const;
  bool stands_alone(std::string_view text, const Match& match) const;

  std::vector<Node> nodes_;
  std::vector<Edge> edges_;
  std::array<std::uint32_t, 256> root_{};
};

}  // namespace tack::guard
