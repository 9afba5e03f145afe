#include "text/pattern.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>

namespace tack {
namespace {

constexpr std::uint32_t kNoLimit = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint32_t kMostRepeats = 1000;
constexpr std::size_t kMostNfaStates = 5'000, kMostStates = 4'000, kMostEdges = 200'000;
constexpr std::size_t kMostWork = 20'000'000;  // ranges looked at: bounds the time of compiling
constexpr int kDeepestGroup = 50;

struct Expression {
  enum class Kind : std::uint8_t { kSet, kSequence, kChoice, kRepeat, kBegin, kEnd };
  Kind kind = Kind::kSequence;
  CharSet set;
  std::vector<Expression> parts;
  std::uint32_t least = 0, most = 0;
};
using Kind = Expression::Kind;

const std::vector<CharRange>& digits() {
  static const std::vector<CharRange> kDigits{{'0', '9'}};
  return kDigits;
}
const std::vector<CharRange>& word_characters() {
  static const std::vector<CharRange> kWord{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
  return kWord;
}
const std::vector<CharRange>& white_space() {
  static const std::vector<CharRange> kSpace{
      {'\t', '\r'},     {' ', ' '},       {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
      {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
  return kSpace;
}

class Parser {
 public:
  explicit Parser(std::u32string_view text) : text_(text) {}

  Result<Expression> parse() {
    TACK_TRY(Expression all, choice(0));
    if (!done()) return error("unmatched )");
    return all;
  }

 private:
  bool done() const { return at_ >= text_.size(); }
  char32_t peek() const { return done() ? 0 : text_[at_]; }
  bool take(char32_t c) {
    if (done() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::unexpected<Error> error(std::string_view what) const {
    return fail(ErrorCode::kUsage, "pattern, character {}: {}", at_, what);
  }

  Result<Expression> choice(int depth) {
    if (depth > kDeepestGroup) return error("groups nested too deep");
    Expression out{.kind = Kind::kChoice};
    do {
      TACK_TRY(Expression branch, sequence(depth));
      out.parts.push_back(std::move(branch));
    } while (take('|'));
    return out;
  }

  Result<Expression> sequence(int depth) {
    Expression out{.kind = Kind::kSequence};
    while (!done() && peek() != '|' && peek() != ')') {
      TACK_TRY(Expression part, term(depth));
      TACK_TRY(part, quantified(std::move(part)));
      out.parts.push_back(std::move(part));
    }
    return out;
  }

  Result<Expression> term(int depth) {
    const char32_t c = text_[at_++];
    switch (c) {
      case '^':
        return Expression{.kind = Kind::kBegin};
      case '$':
        return Expression{.kind = Kind::kEnd};
      case '(':
        return group(depth);
      case '[':
        return char_class();
      case '.':
        return of(CharSet({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}).complement());
      case '\\': {
        TACK_TRY(const Escape e, escape(false));
        return of(e.set);
      }
      case '*':
      case '+':
      case '?':
      case '{':
        --at_;
        return error("nothing to repeat");
      default:
        return of(CharSet({{c, c}}));
    }
  }

  static Expression of(CharSet set) { return {.kind = Kind::kSet, .set = std::move(set)}; }

  Result<Expression> group(int depth) {
    if (take('?')) {
      if (take('<')) {
        if (peek() == '=' || peek() == '!') return error("look-behind is not supported");
        while (!done() && peek() != '>') ++at_;
        if (!take('>')) return error("unfinished group name");
      } else if (!take(':')) {
        return error("look-ahead and group options are not supported");
      }
    }
    TACK_TRY(Expression inner, choice(depth + 1));
    if (!take(')')) return error("missing )");
    return inner;
  }

  Result<Expression> quantified(Expression part) {
    std::uint32_t least = 0, most = kNoLimit;
    bool any = true;
    if (take('*')) {
    } else if (take('+')) {
      least = 1;
    } else if (take('?')) {
      most = 1;
    } else if (take('{')) {
      TACK_TRY(least, number());
      most = least;
      if (take(',')) {
        most = kNoLimit;
        if (peek() != '}') {
          TACK_TRY(most, number());
        }
      }
      if (!take('}')) return error("expected }");
      if (most < least) return error("a repeat whose limits are the wrong way round");
    } else {
      any = false;
    }
    if (!any) return part;
    take('?');  // lazy: the same language
    if (peek() == '*' || peek() == '+' || peek() == '?' || peek() == '{')
      return error("nothing to repeat");
    if (part.kind == Kind::kBegin || part.kind == Kind::kEnd) return error("a repeated anchor");
    Expression out{.kind = Kind::kRepeat, .least = least, .most = most};
    out.parts.push_back(std::move(part));
    return out;
  }

  Result<std::uint32_t> number() {
    if (peek() < '0' || peek() > '9') return error("expected a number");
    std::uint32_t value = 0;
    while (peek() >= '0' && peek() <= '9') {
      value = value * 10 + static_cast<std::uint32_t>(text_[at_++] - '0');
      if (value > kMostRepeats) return error("more than 1000 repeats");
    }
    return value;
  }

  struct Escape {
    CharSet set;
    std::optional<char32_t> single;  // not a class
  };

  // After the backslash.
  Result<Escape> escape(bool in_class) {
    if (done()) return error("a backslash at the end");
    const char32_t c = text_[at_++];
    const auto single = [](char32_t v) { return Escape{CharSet({{v, v}}), v}; };
    switch (c) {
      case 'd':
        return Escape{CharSet(digits()), {}};
      case 'D':
        return Escape{CharSet(digits()).complement(), {}};
      case 'w':
        return Escape{CharSet(word_characters()), {}};
      case 'W':
        return Escape{CharSet(word_characters()).complement(), {}};
      case 's':
        return Escape{CharSet(white_space()), {}};
      case 'S':
        return Escape{CharSet(white_space()).complement(), {}};
      case 't':
        return single('\t');
      case 'n':
        return single('\n');
      case 'v':
        return single('\v');
      case 'f':
        return single('\f');
      case 'r':
        return single('\r');
      case 'b':
        if (in_class) return single('\b');
        return error("\\b is not supported");
      case 'x':
      case 'u': {
        TACK_TRY(const char32_t v, hex(c == 'x' ? 2 : 4));
        return single(v);
      }
      case '0':
        if (peek() < '0' || peek() > '9') return single(0);
        return error("octal escapes are not supported");
      default:
        break;
    }
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter) return error("this escape is not supported");
    return single(c);
  }

  Result<char32_t> hex(int digits_wanted) {
    char32_t value = 0;
    const bool braces = digits_wanted == 4 && take('{');
    for (int i = 0; braces ? peek() != '}' : i < digits_wanted; ++i) {
      const char32_t c = peek();
      const bool ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
      if (!ok || i > 5) return error("expected hexadecimal digits");
      value = value * 16 + (c <= '9' ? c - '0' : (c | 0x20U) - 'a' + 10);
      ++at_;
    }
    if (braces && !take('}')) return error("expected }");
    if (value > kLastChar) return error("beyond Unicode");
    if (value < 0xD800 || value > 0xDFFF) return value;
    // Two escapes can spell one character.
    if (value < 0xDC00 && !braces && take('\\') && take('u')) {
      TACK_TRY(const char32_t low, hex(4));
      if (low >= 0xDC00 && low <= 0xDFFF)
        return 0x10000 + ((value - 0xD800) << 10U) + (low - 0xDC00);
    }
    return error("half of a surrogate pair");
  }

  Result<Expression> char_class() {
    const bool negated = take('^');
    std::vector<CharRange> ranges;
    while (!take(']')) {
      if (done()) return error("missing ]");
      TACK_TRY(const Escape first, class_item());
      if (peek() != '-' || at_ + 1 >= text_.size() || text_[at_ + 1] == ']') {
        ranges.insert(ranges.end(), first.set.ranges().begin(), first.set.ranges().end());
        continue;
      }
      ++at_;
      TACK_TRY(const Escape last, class_item());
      if (!first.single || !last.single) return error("a class as the end of a range");
      if (*first.single > *last.single) return error("a range the wrong way round");
      ranges.push_back({*first.single, *last.single});
    }
    CharSet set(std::move(ranges));
    return of(negated ? set.complement() : set);
  }

  Result<Escape> class_item() {
    const char32_t c = text_[at_++];
    if (c == '\\') return escape(true);
    return Escape{CharSet({{c, c}}), c};
  }

  std::u32string_view text_;
  std::size_t at_ = 0;
};

// Thompson's construction. Anchors are edges that are passed only before the first character or
// only after the last.
struct Nfa {
  enum class Pass : std::uint8_t { kAlways, kAtBegin, kAtEnd };
  struct Skip {
    std::uint32_t to;
    Pass pass;
  };
  struct State {
    std::vector<Skip> skips;
    CharSet set;  // read on the way to `to`
    std::uint32_t to = 0;
  };
  std::vector<State> states;

  std::uint32_t add() {
    states.emplace_back();
    return static_cast<std::uint32_t>(states.size() - 1);
  }
  void skip(std::uint32_t from, std::uint32_t to, Pass pass = Pass::kAlways) {
    states[from].skips.push_back({to, pass});
  }

  // From `from` to the state returned.
  Result<std::uint32_t> build(const Expression& e, std::uint32_t from) {
    if (states.size() > kMostNfaStates)
      return fail(ErrorCode::kUsage, "pattern: too large (more than {} states)", kMostNfaStates);
    switch (e.kind) {
      case Kind::kSet: {
        const std::uint32_t to = add(), reads = add();
        skip(from, reads);
        states[reads].set = e.set;
        states[reads].to = to;
        return to;
      }
      case Kind::kBegin:
      case Kind::kEnd: {
        const std::uint32_t to = add();
        skip(from, to, e.kind == Kind::kBegin ? Pass::kAtBegin : Pass::kAtEnd);
        return to;
      }
      case Kind::kSequence:
        for (const Expression& part : e.parts) {
          TACK_TRY(from, build(part, from));
        }
        return from;
      case Kind::kChoice: {
        const std::uint32_t to = add();
        for (const Expression& part : e.parts) {
          const std::uint32_t begin = add();
          skip(from, begin);
          TACK_TRY(const std::uint32_t end, build(part, begin));
          skip(end, to);
        }
        return to;
      }
      case Kind::kRepeat:
        break;
    }
    for (std::uint32_t i = 0; i < e.least; ++i) {
      TACK_TRY(from, build(e.parts[0], from));
    }
    if (e.most == kNoLimit) {
      const std::uint32_t loop = add();
      skip(from, loop);
      TACK_TRY(const std::uint32_t end, build(e.parts[0], loop));
      skip(end, loop);
      return loop;
    }
    const std::uint32_t to = add();
    for (std::uint32_t i = e.least; i < e.most; ++i) {
      skip(from, to);
      TACK_TRY(from, build(e.parts[0], from));
    }
    skip(from, to);
    return to;
  }

  // `set` and all that is reached without reading, sorted.
  std::vector<std::uint32_t> closure(std::vector<std::uint32_t> set, Pass extra) const {
    std::vector<bool> seen(states.size());
    std::vector<std::uint32_t> out;
    for (const std::uint32_t s : set) seen[s] = true;
    while (!set.empty()) {
      const std::uint32_t s = set.back();
      set.pop_back();
      out.push_back(s);
      for (const Skip& skip_edge : states[s].skips) {
        if (skip_edge.pass != Pass::kAlways && skip_edge.pass != extra) continue;
        if (seen[skip_edge.to]) continue;
        seen[skip_edge.to] = true;
        set.push_back(skip_edge.to);
      }
    }
    std::ranges::sort(out);
    return out;
  }
};

class Determinizer {
 public:
  Determinizer(const Nfa& nfa, std::uint32_t start, std::uint32_t end) : nfa_(nfa), end_(end) {
    // At the start alone both anchors may be passed: an empty string begins and ends there.
    auto set = nfa_.closure({start}, Nfa::Pass::kAtBegin);
    first_accepts_ = passes_end(both_anchors(set));
    state_of(std::move(set));
  }

  Result<CharAutomaton> run() {
    std::size_t edges = 0;
    for (std::size_t s = 0; s < sets_.size(); ++s) {
      if (sets_.size() > kMostStates || edges > kMostEdges || work_ > kMostWork)
        return fail(ErrorCode::kUsage, "pattern: too complex (more than {} states)", kMostStates);
      CharAutomaton::State state;
      state.accepts =
          s == 0 ? first_accepts_ : passes_end(nfa_.closure(sets_[s], Nfa::Pass::kAtEnd));
      // The borders of all sets read here cut the characters into intervals that go one way each.
      const std::vector<std::uint32_t> set = sets_[s];
      std::vector<char32_t> borders{0};
      for (const std::uint32_t n : set)
        for (const CharRange& r : nfa_.states[n].set.ranges()) {
          borders.push_back(r.first);
          borders.push_back(r.last + 1);
        }
      std::ranges::sort(borders);
      borders.erase(std::ranges::unique(borders).begin(), borders.end());
      for (std::size_t b = 0; b < borders.size() && work_ <= kMostWork; ++b) {
        if (borders[b] > kLastChar) break;
        const char32_t last = b + 1 < borders.size() ? borders[b + 1] - 1 : kLastChar;
        const auto target = after(set, borders[b]);
        if (!target) continue;
        if (!state.edges.empty() && state.edges.back().target == *target &&
            state.edges.back().range.last + 1 == borders[b])
          state.edges.back().range.last = last;
        else
          state.edges.push_back({{borders[b], last}, *target});
      }
      edges += state.edges.size();
      out_.states.push_back(std::move(state));
    }
    if (work_ > kMostWork) return fail(ErrorCode::kUsage, "pattern: too complex");
    out_.drop_dead_ends();
    return std::move(out_);
  }

 private:
  std::vector<std::uint32_t> both_anchors(std::vector<std::uint32_t> set) const {
    for (std::size_t size = 0; size != set.size();) {
      size = set.size();
      set = nfa_.closure(nfa_.closure(std::move(set), Nfa::Pass::kAtEnd), Nfa::Pass::kAtBegin);
    }
    return set;
  }
  bool passes_end(const std::vector<std::uint32_t>& set) const {
    return std::ranges::binary_search(set, end_);
  }
  std::uint32_t state_of(std::vector<std::uint32_t> set) {
    // Once the pattern was found, whatever follows is accepted: one state for all such sets.
    if (passes_end(set)) set = {end_};
    const auto [at, added] = ids_.try_emplace(set, static_cast<std::uint32_t>(sets_.size()));
    if (added) sets_.push_back(std::move(set));
    return at->second;
  }
  std::optional<std::uint32_t> after(const std::vector<std::uint32_t>& set, char32_t c) {
    std::vector<std::uint32_t> next;
    work_ += nfa_.states.size() / 64;
    for (const std::uint32_t n : set)
      for (const CharRange& r : nfa_.states[n].set.ranges())
        if (++work_; r.first <= c && c <= r.last) next.push_back(nfa_.states[n].to);
    if (next.empty()) return std::nullopt;
    std::ranges::sort(next);
    next.erase(std::ranges::unique(next).begin(), next.end());
    return state_of(nfa_.closure(std::move(next), Nfa::Pass::kAlways));
  }

  const Nfa& nfa_;
  std::uint32_t end_;
  bool first_accepts_ = false;
  std::size_t work_ = 0;
  std::map<std::vector<std::uint32_t>, std::uint32_t> ids_;
  std::vector<std::vector<std::uint32_t>> sets_;
  CharAutomaton out_;
};

}  // namespace

Result<CharAutomaton> compile_pattern(std::string_view pattern) {
  TACK_TRY(const std::u32string text, characters_of(pattern));
  TACK_TRY(const Expression expression, Parser(text).parse());
  // Anything may stand before and after.
  const CharSet any({{0, kLastChar}});
  Nfa nfa;
  const std::uint32_t start = nfa.add();
  nfa.states[start].set = any;
  nfa.states[start].to = start;
  TACK_TRY(const std::uint32_t end, nfa.build(expression, start));
  const std::uint32_t found = nfa.add();
  nfa.skip(end, found);
  nfa.states[found].set = any;
  nfa.states[found].to = found;
  return Determinizer(nfa, start, found).run();
}

}  // namespace tack
