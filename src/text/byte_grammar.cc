#include "text/byte_grammar.h"

namespace tack {

ByteGrammar::ByteGrammar() {
  add_rule(0, "#");
}

ByteGrammar::Node ByteGrammar::add_node() {
  return static_cast<Node>(node_count_++);
}

void ByteGrammar::read(Node from, std::uint8_t low, std::uint8_t high, Node to) {
  drafts_.push_back({from, {.to = to, .low = low, .high = high}});
}

void ByteGrammar::read(Node from, std::string_view text, Node to) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const Node next = i + 1 == text.size() ? to : add_node();
    const auto byte = static_cast<std::uint8_t>(text[i]);
    read(from, byte, byte, next);
    from = next;
  }
}

void ByteGrammar::skip(Node from, Node to) {
  drafts_.push_back({from, {.to = to, .low = 1}});
}

void ByteGrammar::call(Node from, Rule rule, Node to) {
  drafts_.push_back({from, {.to = to, .rule = rule}});
}

ByteGrammar::Rule ByteGrammar::add_rule(char open, std::string where) {
  const Node start = add_node(), end = add_node();
  rules_.push_back({open, start, end, std::move(where)});
  return static_cast<Rule>(rules_.size() - 1);
}

Status ByteGrammar::room(std::size_t nodes) const {
  if (nodes > kMostNodes || node_count_ + nodes > kMostNodes || drafts_.size() > kMostEdges)
    return fail(
        ErrorCode::kUsage,
        "the schema is too large: its automaton would pass {} states (long lengths and counts "
        "of items, complex patterns)",
        kMostNodes);
  if (rules_.size() > kMostRules)
    return fail(ErrorCode::kUsage, "the schema is too large: more than {} objects and arrays",
                kMostRules);
  return {};
}

Status ByteGrammar::finish() {
  TACK_RETURN_IF_ERROR(room(0));
  first_.assign(node_count_ + 1, 0);
  for (const Draft& d : drafts_) ++first_[d.from + 1];
  for (std::size_t n = 0; n < node_count_; ++n) first_[n + 1] += first_[n];
  edges_.resize(drafts_.size());
  std::vector<std::uint32_t> next(first_.begin(), first_.end() - 1);
  for (const Draft& d : drafts_) edges_[next[d.from]++] = d.edge;
  ends_rule_.assign(node_count_, false);
  for (std::size_t r = 1; r < rules_.size(); ++r) ends_rule_[rules_[r].end] = true;
  find_needs();
  drafts_ = {};
  if (need_[rules_[0].start] != kNever) return {};
  std::string where = "#";
  for (std::size_t r = rules_.size(); r-- > 1;)
    if (need_[rules_[r].start] == kNever) where = rules_[r].where;
  return fail(ErrorCode::kUsage,
              "schema at {}: what it requires never ends within {} levels: give its recursion an "
              "alternative",
              where, kDeepest);
}

// Level by level: first the nodes that reach their end without a call, then those that do with
// calls of rules that need none, and so on.
void ByteGrammar::find_needs() {
  need_.assign(node_count_, kNever);
  std::vector<std::uint32_t> first(node_count_ + 1, 0), order(drafts_.size());
  for (const Draft& d : drafts_) ++first[d.edge.to + 1];
  for (std::size_t n = 0; n < node_count_; ++n) first[n + 1] += first[n];
  std::vector<std::uint32_t> next(first.begin(), first.end() - 1);
  std::vector<std::vector<std::uint32_t>> callers(rules_.size());
  for (std::uint32_t i = 0; i < drafts_.size(); ++i) {
    order[next[drafts_[i].edge.to]++] = i;
    if (drafts_[i].edge.rule != kNone) callers[drafts_[i].edge.rule].push_back(i);
  }
  std::vector<Node> queue;
  std::vector<bool> callable(rules_.size(), false);
  const auto reach = [&](Node n, std::uint32_t level) {
    if (need_[n] != kNever) return;
    need_[n] = static_cast<std::uint16_t>(level);
    queue.push_back(n);
  };
  for (const RuleInfo& rule : rules_) reach(rule.end, 0);
  for (std::uint32_t level = 0; level <= kDeepest; ++level) {
    for (std::size_t at = 0; at < queue.size(); ++at) {
      const Node n = queue[at];
      for (std::uint32_t i = first[n]; i < first[n + 1]; ++i) {
        const Draft& d = drafts_[order[i]];
        if (d.edge.rule == kNone || callable[d.edge.rule]) reach(d.from, level);
      }
    }
    queue.clear();
    // What can be called one level up.
    for (std::size_t r = 1; r < rules_.size(); ++r) {
      if (callable[r] || need_[rules_[r].start] == kNever) continue;
      callable[r] = true;
      if (level == kDeepest) continue;
      for (const std::uint32_t i : callers[r])
        if (need_[drafts_[i].edge.to] != kNever) reach(drafts_[i].from, level + 1);
    }
  }
}

}  // namespace tack
