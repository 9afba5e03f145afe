// Stop strings in text that arrives in pieces: what may be the beginning of one is held back until
// it is known.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tack {

// All strings are followed at once (Aho and Corasick 1975): time is linear in the text, however
// many stop strings there are. Of several, the one that ends first stops; of those that end
// together, the longest.
class StopMatcher {
 public:
  // Errors (kUsage): an empty stop string, more than a mebibyte of them. Without any, nothing is
  // held back.
  static Result<StopMatcher> create(std::span<const std::string> stops);

  // Appends what is certain to be outside a stop string to `out`. True once a stop string is
  // complete: `out` then has all text before it, and later calls add nothing.
  bool feed(std::string_view piece, std::string& out);
  // The text ends here: what was held back is text after all.
  void finish(std::string& out);

  bool stopped() const { return stopped_; }
  // Which stop string it was; -1: none.
  std::int64_t stop() const { return stop_; }

 private:
  struct Node {
    std::int32_t child = -1, sibling = -1;  // a byte has few successors: a list
    std::int32_t fail = 0;
    std::int32_t depth = 0;
    std::int32_t stop = -1;  // the longest stop string that ends here
    char byte = 0;
  };
  std::int32_t child(std::int32_t node, char byte) const;

  std::vector<Node> nodes_{Node{}};
  std::vector<std::int64_t> lengths_;
  std::int32_t at_ = 0;
  std::string held_;  // the text that at_ stands for
  bool stopped_ = false;
  std::int64_t stop_ = -1;
};

}  // namespace tack
