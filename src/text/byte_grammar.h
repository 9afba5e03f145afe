// A language of byte strings with brackets: what the output of a constraint may be.
//
// Rules are nondeterministic automata. A rule but the root begins with its opening bracket, which
// the call reads, and ends with the edge into its final node, which reads the closing bracket.
// Between them, outside strings, brackets are read by calls alone. So the depth of the calls is
// always the number of open brackets, whatever alternative is followed: the automaton is a visibly
// pushdown one (Alur and Madhusudan 2004) and can be made deterministic (constraint_machine.h).
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tack {

class ByteGrammar {
 public:
  using Node = std::uint32_t;
  using Rule = std::uint32_t;  // 0 is the root
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

  static constexpr std::size_t kMostNodes = 400'000;
  static constexpr std::size_t kMostEdges = 2'000'000;
  static constexpr std::size_t kMostRules = 20'000;
  static constexpr std::uint32_t kDeepest = 64;    // open brackets in an output
  static constexpr std::uint16_t kNever = 0xFFFF;  // need(): no end within kDeepest

  struct Edge {
    Node to = 0;
    Rule rule = kNone;               // a call, when not kNone
    std::uint8_t low = 0, high = 0;  // bytes; low > high: nothing is read
    bool skips() const { return rule == kNone && low > high; }
    bool reads(std::uint8_t byte) const { return rule == kNone && low <= byte && byte <= high; }
  };
  struct RuleInfo {
    char open = 0;
    Node start = 0, end = 0;
    std::string where;  // in the schema, for errors
  };
  // A string of `least` to `most` characters, any of them: the nodes after k characters are
  // first + k * stride and the stride - 1 after it.
  struct CountedString {
    Node first = 0;
    std::uint32_t stride = 0, positions = 0;
    std::uint32_t least = 0, most = 0;  // most: kNone for no limit
  };

  ByteGrammar();  // with the root rule

  Node add_node();
  void read(Node from, std::uint8_t low, std::uint8_t high, Node to);
  void read(Node from, std::string_view text, Node to);  // byte after byte; text is not empty
  void skip(Node from, Node to);
  void call(Node from, Rule rule, Node to);
  Rule add_rule(char open, std::string where);
  void add_counted(const CountedString& counted) { counted_.push_back(counted); }
  // From here, inside a string, any characters may be read, without end.
  void add_free(Node node) { free_nodes_.push_back(node); }

  // Errors (kUsage): the limits above would be passed by `nodes` more; checked before large pieces
  // and by finish().
  Status room(std::size_t nodes) const;

  // Sorts the edges and finds what each node needs. Errors (kUsage): limits; no output can end.
  Status finish();

  const RuleInfo& rule(Rule r) const { return rules_[r]; }
  std::size_t nodes() const { return node_count_; }
  std::span<const Edge> edges(Node n) const {
    return {edges_.data() + first_[n], edges_.data() + first_[n + 1]};
  }
  // Brackets that must be opened at once, at least, on the way from here to the rule's end.
  std::uint16_t need(Node n) const { return need_[n]; }
  // The same on the way that calls here.
  std::uint32_t need(const Edge& call) const {
    return std::max<std::uint32_t>(1U + need_[rules_[call.rule].start], need_[call.to]);
  }
  bool ends_rule(Node n) const { return ends_rule_[n]; }  // of a rule but the root
  const std::vector<CountedString>& counted() const { return counted_; }
  const std::vector<Node>& free_nodes() const { return free_nodes_; }

 private:
  struct Draft {
    Node from;
    Edge edge;
  };
  void find_needs();

  std::size_t node_count_ = 0;
  std::vector<Draft> drafts_;
  std::vector<Edge> edges_;
  std::vector<std::uint32_t> first_;
  std::vector<RuleInfo> rules_;
  std::vector<std::uint16_t> need_;
  std::vector<bool> ends_rule_;
  std::vector<CountedString> counted_;
  std::vector<Node> free_nodes_;
};

}  // namespace tack
