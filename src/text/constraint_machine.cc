#include "text/constraint_machine.h"

#include <algorithm>
#include <array>
#include <bit>

namespace tack {
namespace {

// What is remembered at most; then all is forgotten, and outputs under way are read again.
constexpr std::size_t kMostItems = 4'000'000, kMostSteps = 8'000'000;
constexpr std::size_t kMostMaskBytes = std::size_t{64} << 20U;
constexpr std::uint32_t kDeepest = ByteGrammar::kDeepest;

void set_bit(std::span<std::uint32_t> bits, TokenId id) {
  const auto i = static_cast<std::size_t>(id);
  bits[i / 32] |= 1U << (i % 32);
}

}  // namespace

std::size_t ConstraintMachine::ItemsHash::operator()(const Items& items) const {
  std::uint64_t h = items.size();
  for (const Item& item : items) {
    h ^= (std::uint64_t{item.node} << 32U) | item.returns;
    h *= 0x9e3779b97f4a7c15ULL;
    h ^= h >> 29U;
  }
  return h;
}

ConstraintMachine::ConstraintMachine(ByteGrammar grammar,
                                     std::shared_ptr<const TokenVocabulary> vocabulary,
                                     std::size_t most_states)
    : grammar_(std::move(grammar)),
      vocabulary_(std::move(vocabulary)),
      most_states_(most_states),
      seen_(grammar_.nodes()),
      levels_(vocabulary_->longest() + 1) {
  find_classes();
  find_counted();
  clear();
}

void ConstraintMachine::find_classes() {
  std::array<bool, 257> border{};
  const auto alone = [&](std::uint8_t first, std::uint8_t last) {
    border[first] = border[std::size_t{last} + 1] = true;
  };
  for (Node n = 0; n < grammar_.nodes(); ++n)
    for (const ByteGrammar::Edge& e : grammar_.edges(n))
      if (e.rule == ByteGrammar::kNone && !e.skips()) alone(e.low, e.high);
  for (const char c : std::string_view("[]{}"))
    alone(static_cast<std::uint8_t>(c), static_cast<std::uint8_t>(c));
  class_of_.resize(256);
  std::uint32_t current = 0;
  for (std::size_t b = 0; b < 256; ++b) {
    if (b > 0 && border[b]) ++current;
    class_of_[b] = static_cast<std::uint8_t>(current);
  }
  classes_ = current + 1;
}

// Far from both of its limits, a string allows the same tokens at every position: a token is not
// longer than the distance. All such positions share one mask.
void ConstraintMachine::find_counted() {
  if (grammar_.counted().empty() && grammar_.free_nodes().empty()) return;
  counted_.resize(grammar_.nodes());
  for (const Node n : grammar_.free_nodes()) counted_[n].run = ByteGrammar::kNone;
  for (Node n = 0; n < counted_.size(); ++n) counted_[n].like = n;
  const auto reach = static_cast<std::uint32_t>(vocabulary_->longest());
  for (std::uint32_t s = 0; s < grammar_.counted().size(); ++s) {
    const ByteGrammar::CountedString& string = grammar_.counted()[s];
    const bool open = string.most == ByteGrammar::kNone;
    for (std::uint32_t k = 0; k < string.positions; ++k) {
      const Node here = string.first + k * string.stride;
      counted_[here].string = counted_[here + 1].string = s;
      // Of the two nodes one stands before a character, the other for the way to this place.
      counted_[here].run = open ? ByteGrammar::kNone : string.most - k;
      counted_[here + 1].run = open ? ByteGrammar::kNone : string.most - k + 1;
      const bool may_not_end = k + reach < string.least;
      const bool may_end = !open && k >= string.least && k + reach <= string.most;
      if (!may_not_end && !may_end) continue;
      const std::uint32_t like = may_not_end ? 0 : string.least;
      for (std::uint32_t i = 0; i < string.stride; ++i)
        counted_[here + i].like = string.first + like * string.stride + i;
    }
  }
}

void ConstraintMachine::clear() {
  ++generation_;
  state_ids_.clear();
  frame_ids_.clear();
  set_ids_.clear();
  sets_.clear();
  states_.clear();
  frames_.clear();
  steps_.clear();
  quick_.clear();
  runs_.clear();
  pops_.clear();
  masks_.clear();
  mask_bytes_ = item_count_ = 0;
  full_ = false;
  start_ = closed({{grammar_.rule(0).start, intern_set({})}});
}

ConstraintMachine::Place ConstraintMachine::forget_all_but(const Place& place) {
  using Spelled = std::vector<std::pair<Node, std::vector<std::uint32_t>>>;
  const auto spelled = [&](const Items& items) {
    Spelled out;
    for (const Item& item : items) out.emplace_back(item.node, *sets_[item.returns]);
    return out;
  };
  const Spelled state = spelled(*states_[place.state].items);
  std::vector<Spelled> frames;
  for (const Frame frame : place.frames) frames.push_back(spelled(*frames_[frame].returns));
  clear();
  const auto items = [&](const Spelled& from) {
    Items out;
    for (const auto& [node, returns] : from) out.push_back({node, intern_set(returns)});
    return out;
  };
  Place out{intern(items(state)), {}};
  for (const Spelled& frame : frames) out.frames.push_back(intern_frame(items(frame)));
  return out;
}

void ConstraintMachine::forget_if_nearly_full() {
  if (full_ || states_.size() > most_states_ / 2 || item_count_ > kMostItems / 2 ||
      steps_.size() > kMostSteps / 2 || mask_bytes_ > kMostMaskBytes ||
      frames_.size() > most_states_ || pops_.size() > most_states_ * 4)
    clear();
}

ConstraintMachine::Set ConstraintMachine::intern_set(std::vector<std::uint32_t> set) {
  std::ranges::sort(set);
  set.erase(std::ranges::unique(set).begin(), set.end());
  const auto [at, added] = set_ids_.try_emplace(std::move(set), static_cast<Set>(sets_.size()));
  if (added) sets_.push_back(&at->first);
  return at->second;
}

ConstraintMachine::Frame ConstraintMachine::intern_frame(Items returns) {
  const auto [at, added] =
      frame_ids_.try_emplace(std::move(returns), static_cast<Frame>(frames_.size()));
  if (added) {
    frames_.push_back({&at->first});
    item_count_ += at->first.size();
  }
  return at->second;
}

ConstraintMachine::State ConstraintMachine::intern(Items items) {
  if (const auto known = state_ids_.find(items); known != state_ids_.end()) return known->second;
  if (states_.size() >= most_states_ || item_count_ > kMostItems || steps_.size() >= kMostSteps) {
    full_ = true;
    return kNoState;
  }
  item_count_ += items.size();
  const auto id = static_cast<State>(states_.size());
  const Items& kept = state_ids_.emplace(std::move(items), id).first->first;
  StateInfo info{.items = &kept};
  bool alone = true;
  for (const Item& item : kept) {
    info.most_need = std::max(info.most_need, grammar_.need(item.node));
    info.ends |= item.node == grammar_.rule(0).end;
    if (counted_.empty()) continue;
    info.plain_run = std::max(info.plain_run, counted_[item.node].run);
    alone &= counted_[item.node].string != ByteGrammar::kNone &&
             counted_[item.node].string == counted_[kept.front().node].string;
  }
  info.plain_alone = alone && info.plain_run > 0;
  states_.push_back(info);
  runs_.push_back(info.plain_run);
  steps_.resize(steps_.size() + classes_);
  quick_.resize(steps_.size(), kAskStep);
  return id;
}

ConstraintMachine::State ConstraintMachine::closed(Items items) {
  // By the set they return to, so that each node is met once for each.
  std::ranges::sort(items, {}, &Item::returns);
  Items found;
  std::vector<Node> open;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i == 0 || items[i].returns != items[i - 1].returns) ++stamp_;
    const auto visit = [&](Node n) {
      if (seen_[n] == stamp_ || grammar_.need(n) == ByteGrammar::kNever) return;
      seen_[n] = stamp_;
      open.push_back(n);
    };
    visit(items[i].node);
    while (!open.empty()) {
      const Node n = open.back();
      open.pop_back();
      bool reads = n == grammar_.rule(0).end;
      for (const ByteGrammar::Edge& e : grammar_.edges(n)) {
        if (e.skips())
          visit(e.to);
        else
          reads = true;
      }
      if (reads) found.push_back({n, items[i].returns});
    }
  }
  if (found.empty()) return kNoState;
  std::ranges::sort(found);
  // One item for a node: it returns to all.
  Items out;
  for (std::size_t i = 0; i < found.size();) {
    std::size_t end = i + 1;
    while (end < found.size() && found[end].node == found[i].node) ++end;
    if (end == i + 1) {
      out.push_back(found[i]);
    } else {
      std::vector<std::uint32_t> all;
      for (; i < end; ++i)
        all.insert(all.end(), sets_[found[i].returns]->begin(), sets_[found[i].returns]->end());
      out.push_back({found[end - 1].node, intern_set(std::move(all))});
    }
    i = end;
  }
  return intern(std::move(out));
}

// The part of a state that can end without more than `budget` further brackets at once.
ConstraintMachine::State ConstraintMachine::within(State state, std::uint32_t budget) {
  if (state == kNoState || states_[state].most_need <= budget) return state;
  Items kept;
  for (const Item& item : *states_[state].items)
    if (grammar_.need(item.node) <= budget) kept.push_back(item);
  return kept.empty() ? kNoState : intern(std::move(kept));
}

ConstraintMachine::Step ConstraintMachine::compute(State state, std::uint8_t byte,
                                                   std::uint32_t budget) {
  Items stays, returns;
  std::vector<std::uint32_t> pops;
  std::map<ByteGrammar::Rule, std::vector<std::uint32_t>> called;
  std::uint32_t need = 0;
  bool popped = false;
  for (const Item& item : *states_[state].items)
    for (const ByteGrammar::Edge& e : grammar_.edges(item.node)) {
      if (e.rule != ByteGrammar::kNone) {
        if (static_cast<std::uint8_t>(grammar_.rule(e.rule).open) != byte) continue;
        if (grammar_.need(grammar_.rule(e.rule).start) == ByteGrammar::kNever ||
            grammar_.need(e.to) == ByteGrammar::kNever || grammar_.need(e) > budget)
          continue;
        need = std::max(need, grammar_.need(e));
        const Item back{e.to, item.returns};
        const auto known = std::ranges::find(returns, back);
        called[e.rule].push_back(static_cast<std::uint32_t>(known - returns.begin()));
        if (known == returns.end()) returns.push_back(back);
      } else if (e.reads(byte)) {
        if (grammar_.ends_rule(e.to)) {
          popped = true;
          pops.insert(pops.end(), sets_[item.returns]->begin(), sets_[item.returns]->end());
        } else {
          stays.push_back({e.to, item.returns});
        }
      }
    }
  if (popped) return {.kind = Kind::kPop, .to = intern_set(std::move(pops))};
  if (called.empty()) {
    const State to = stays.empty() ? kNoState : closed(std::move(stays));
    if (to == kNoState) return {.kind = Kind::kDead};
    return {.kind = Kind::kStay, .to = to};
  }
  Items starts;
  for (auto& [rule, indices] : called)
    starts.push_back({grammar_.rule(rule).start, intern_set(std::move(indices))});
  const State to = closed(std::move(starts));
  if (to == kNoState) return {.kind = Kind::kDead};
  return {.kind = Kind::kPush, .to = to, .frame = intern_frame(std::move(returns)), .need = need};
}

// `depth`: brackets that are open. The state that is reached can end within kDeepest.
ConstraintMachine::Step ConstraintMachine::step(State state, std::uint8_t byte,
                                                std::uint32_t depth) {
  const std::size_t at = std::size_t{state} * classes_ + class_of_[byte];
  if (steps_[at].kind == Kind::kUnknown) {
    const Step computed = compute(state, byte, ByteGrammar::kNever);
    if (full_) return {.kind = Kind::kDead};  // not known, and nothing new can be remembered
    steps_[at] = computed;
    if (computed.kind == Kind::kDead) quick_[at] = kDeadQuickly;
    if (computed.kind == Kind::kStay && states_[computed.to].most_need == 0)
      quick_[at] = static_cast<std::int32_t>(computed.to);
  }
  Step step = steps_[at];
  const std::uint32_t budget = kDeepest - depth;
  if (step.kind == Kind::kStay && states_[step.to].most_need > budget) {
    step.to = within(step.to, budget);
    if (step.to == kNoState) step.kind = Kind::kDead;
  } else if (step.kind == Kind::kPush) {
    if (step.need > budget) step = compute(state, byte, budget);
    if (step.kind != Kind::kPush || budget == 0) return {.kind = Kind::kDead};
    step.to = within(step.to, budget - 1);
    if (step.to == kNoState) step.kind = Kind::kDead;
  }
  return step;
}

// `depth`: brackets that are open afterwards.
ConstraintMachine::State ConstraintMachine::pop(Set returns, Frame frame, std::uint32_t depth) {
  const std::uint64_t key = (std::uint64_t{returns} << 32U) | frame;
  const auto known = pops_.find(key);
  State to = 0;
  if (known != pops_.end()) {
    to = known->second;
  } else {
    Items items;
    for (const std::uint32_t i : *sets_[returns]) items.push_back((*frames_[frame].returns)[i]);
    to = closed(std::move(items));
    if (!full_) pops_.emplace(key, to);
  }
  return within(to, kDeepest - depth);
}

bool ConstraintMachine::advance(Place& place, std::string_view bytes) {
  // The innermost frame that is still as it was: what lies above is put back on failure.
  Place now = place;
  for (const char c : bytes) {
    const auto depth = static_cast<std::uint32_t>(now.frames.size());
    const Step s = step(now.state, static_cast<std::uint8_t>(c), depth);
    switch (s.kind) {
      case Kind::kStay:
        now.state = s.to;
        break;
      case Kind::kPush:
        now.state = s.to;
        now.frames.push_back(s.frame);
        break;
      case Kind::kPop:
        if (now.frames.empty()) return false;
        now.state = pop(s.to, now.frames.back(), depth - 1);
        now.frames.pop_back();
        if (now.state == kNoState) return false;
        break;
      default:
        return false;
    }
  }
  place = std::move(now);
  return true;
}

ConstraintMachine::Place ConstraintMachine::replay(std::string_view bytes) {
  Place place = start();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (advance(place, bytes.substr(i, 1))) continue;
    place = forget_all_but(place);
    advance(place, bytes.substr(i, 1));
  }
  return place;
}

std::optional<std::uint8_t> ConstraintMachine::only_byte(const Place& place) {
  if (may_end(place)) return std::nullopt;
  std::optional<std::uint8_t> only;
  for (unsigned b = 0; b < 256; ++b) {
    const auto byte = static_cast<std::uint8_t>(b);
    if (step(place.state, byte, static_cast<std::uint32_t>(place.frames.size())).kind ==
        Kind::kDead)
      continue;
    if (only) return std::nullopt;
    only = byte;
  }
  return only;
}

bool ConstraintMachine::may_go_on(const Place& place) {
  for (unsigned b = 0; b < 256; ++b)
    if (step(place.state, static_cast<std::uint8_t>(b),
             static_cast<std::uint32_t>(place.frames.size()))
            .kind != Kind::kDead)
      return true;
  return false;
}

// Goes through a trie with a state for each node on the way down.
class ConstraintMachine::Walk {
 public:
  // `opens`: frames below `link` 0 are not known: tokens that would go there are listed.
  Walk(ConstraintMachine& machine, std::span<std::uint32_t> bits, std::vector<Open>* opens)
      : m_(machine), bits_(bits), opens_(opens) {}

  // Nodes [begin, end) of a trie, all of them below one that stands at `base`.
  void run(bool plain, std::uint32_t begin, std::uint32_t end, const Level& base) {
    const TokenVocabulary::Trie& trie = plain ? m_.vocabulary_->plain() : m_.vocabulary_->rest();
    if (begin >= end) return;
    const std::uint32_t root = trie.nodes[begin].depth - 1U;
    m_.levels_[0] = base;
    for (std::uint32_t i = begin; i < end;) {
      const TokenVocabulary::Node& node = trie.nodes[i];
      const Level& above = m_.levels_[node.depth - 1U - root];
      Level& here = m_.levels_[node.depth - root];
      const std::int32_t quick =
          m_.quick_[std::size_t{above.state} * m_.classes_ + m_.class_of_[node.byte]];
      if (quick == kDeadQuickly) {
        i = node.end;
        continue;
      }
      if (quick >= 0) {
        here = {static_cast<State>(quick), above.link, above.depth, above.links};
        i = take_at(trie, i, plain, here.state);
        continue;
      }
      m_.links_.resize(above.links);
      const Step s = m_.step(above.state, node.byte, above.depth);
      bool alive = true;
      switch (s.kind) {
        case Kind::kStay:
          here = {s.to, above.link, above.depth, above.links};
          break;
        case Kind::kPush:
          m_.links_.push_back({s.frame, above.link});
          here = {s.to, static_cast<std::uint32_t>(m_.links_.size() - 1), above.depth + 1,
                  above.links + 1};
          break;
        case Kind::kPop:
          if (above.link == 0) {
            alive = false;
            if (opens_ == nullptr) break;  // of the root: not reached
            take(trie, i, i + 1);
            if (node.end > i + 1) opens_->push_back({plain, i, s.to});
            break;
          }
          {
            const Link link = m_.links_[above.link];
            here = {m_.pop(s.to, link.frame, above.depth - 1), link.outer, above.depth - 1,
                    above.links};
            alive = here.state != kNoState;
          }
          break;
        default:
          alive = false;
      }
      if (!alive) {
        i = node.end;
        continue;
      }
      deepest_ = std::max(deepest_, here.depth + m_.states_[here.state].most_need);
      if (s.kind == Kind::kPush) deepest_ = std::max(deepest_, above.depth + s.need);
      i = take_at(trie, i, plain, here.state);
    }
  }
  std::uint32_t deepest() const { return deepest_; }

 private:
  // The node's tokens; below it, when a string has room for plain text, all of them, or those that
  // are short enough. Returns the node to go on with.
  std::uint32_t take_at(const TokenVocabulary::Trie& trie, std::uint32_t i, bool plain,
                        State state) {
    const TokenVocabulary::Node& node = trie.nodes[i];
    const std::uint32_t run = m_.runs_[state];
    const bool all = plain && run >= node.below;
    if (all || !plain || run == 0 || !m_.states_[state].plain_alone) {
      const std::uint32_t next = all ? node.end : i + 1;
      take(trie, i, next);
      return next;
    }
    const std::uint32_t first = trie.nodes[i].tokens, end = trie.nodes[node.end].tokens;
    const std::string_view read = m_.vocabulary_->bytes(trie.ids[first]).substr(0, node.depth);
    const auto characters = static_cast<std::uint32_t>(
        std::ranges::count_if(read, [](char c) { return (c & 0xC0) != 0x80; }));
    for (std::uint32_t t = first; t < end; ++t)
      if (trie.characters[t] <= characters + run) set_bit(bits_, trie.ids[t]);
    return node.end;
  }

  void take(const TokenVocabulary::Trie& trie, std::uint32_t begin, std::uint32_t end) {
    for (std::uint32_t t = trie.nodes[begin].tokens; t < trie.nodes[end].tokens; ++t)
      set_bit(bits_, trie.ids[t]);
  }

  ConstraintMachine& m_;
  std::span<std::uint32_t> bits_;
  std::vector<Open>* opens_;
  std::uint32_t deepest_ = 0;
};

void ConstraintMachine::add_plain(const StateInfo& info, std::span<std::uint32_t> bits) const {
  const auto plain = vocabulary_->plain_mask();
  const auto longer = vocabulary_->plain_longer_than(info.plain_run);
  for (std::size_t w = 0; w < bits.size(); ++w) bits[w] |= plain[w];
  for (const TokenVocabulary::Length& l : longer) {
    const auto i = static_cast<std::size_t>(l.id);
    bits[i / 32] &= ~(1U << (i % 32));
  }
}

// Positions of long strings that allow the same tokens have one mask.
ConstraintMachine::State ConstraintMachine::representative(State state) {
  if (counted_.empty()) return state;
  const Items& items = *states_[state].items;
  if (std::ranges::all_of(items, [&](const Item& i) { return counted_[i.node].like == i.node; }))
    return state;
  Items like = items;
  for (Item& item : like) item.node = counted_[item.node].like;
  const State found = closed(std::move(like));
  return found == kNoState ? state : found;
}

const ConstraintMachine::Mask& ConstraintMachine::mask_of(State state) {
  state = representative(state);
  if (const auto known = masks_.find(state); known != masks_.end()) return known->second;
  Mask mask;
  std::vector<std::uint32_t> bits(vocabulary_->mask_words());
  const StateInfo info = states_[state];
  if (info.plain_run > 0) add_plain(info, bits);
  links_.assign(1, {});
  Walk walk(*this, bits, &mask.opens);
  const Level base{state, 0, 0, 1};
  // What plain text allows is known when nothing else is possible, or when no token is longer.
  if (!info.plain_alone && info.plain_run < vocabulary_->longest())
    walk.run(true, 0, vocabulary_->plain().size(), base);
  walk.run(false, 0, vocabulary_->rest().size(), base);
  mask.deepest = walk.deepest();
  std::size_t count = 0;
  for (const std::uint32_t word : bits) count += static_cast<std::size_t>(std::popcount(word));
  if (count < bits.size() / 4) {
    for (std::size_t w = 0; w < bits.size(); ++w)
      for (std::uint32_t word = bits[w]; word != 0; word &= word - 1)
        mask.ids.push_back(
            static_cast<TokenId>(w * 32 + static_cast<std::size_t>(std::countr_zero(word))));
  } else {
    mask.bits = std::move(bits);
  }
  mask_bytes_ += (mask.bits.size() + mask.ids.size()) * 4 + mask.opens.size() * sizeof(Open) + 128;
  return masks_.emplace(state, std::move(mask)).first->second;
}

bool ConstraintMachine::mask(const Place& place, std::span<std::uint32_t> bits) {
  std::ranges::fill(bits, 0U);
  const auto depth = static_cast<std::uint32_t>(place.frames.size());
  const Mask& local = mask_of(place.state);
  const bool shallow = depth + local.deepest <= kDeepest;
  // The actual frames, outermost first: link i is frame i - 1.
  links_.assign(1, {});
  for (std::uint32_t i = 0; i < depth; ++i) links_.push_back({place.frames[i], i});
  Walk walk(*this, bits, nullptr);
  if (shallow) {
    if (local.bits.empty())
      for (const TokenId id : local.ids) set_bit(bits, id);
    else
      std::ranges::copy(local.bits, bits.begin());
    if (depth > 0)
      for (const Open& open : local.opens) {
        const State outer = pop(open.returns, place.frames.back(), depth - 1);
        if (outer == kNoState) continue;
        const auto& trie = open.plain ? vocabulary_->plain() : vocabulary_->rest();
        walk.run(open.plain, open.node + 1, trie.nodes[open.node].end,
                 {outer, depth - 1, depth - 1, links_.size()});
        links_.resize(depth + 1);
      }
  } else {
    const Level base{place.state, depth, depth, links_.size()};
    walk.run(true, 0, vocabulary_->plain().size(), base);
    walk.run(false, 0, vocabulary_->rest().size(), base);
  }
  if (may_end(place))
    for (const TokenId id : vocabulary_->ends()) set_bit(bits, id);
  return std::ranges::any_of(bits, [](std::uint32_t word) { return word != 0; });
}

}  // namespace tack
