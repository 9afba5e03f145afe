#include <algorithm>
#include <array>

#include "text/template_syntax.h"

namespace tack::jinja {
namespace {

constexpr int kMaxTree = 250;     // depth of the tree
constexpr int kMaxBrackets = 60;  // nested expressions and blocks: each takes a dozen calls here

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(lex(source)) {}

  NodePtr run() {
    NodePtr body = block({});
    if (now().kind != Token::Kind::kEnd) unexpected();
    return body;
  }

 private:
  using Kind = Token::Kind;

  class Nested {
   public:
    explicit Nested(Parser& parser) : parser_(parser) {
      if (++parser.nested_ > kMaxBrackets) parser.fail_here("nested too deep");
    }
    ~Nested() { --parser_.nested_; }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;

   private:
    Parser& parser_;
  };

  const Token& now() const { return tokens_[at_]; }
  const Token& after() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  void next() {
    if (at_ + 1 < tokens_.size()) ++at_;
  }
  [[noreturn]] void fail_here(std::string_view what) {
    stop(fmt::format("line {}: {}", now().line, what));
  }
  [[noreturn]] void unexpected() {
    switch (now().kind) {
      case Kind::kEnd:
        fail_here("unexpected end of the template");
      case Kind::kBlock:
        fail_here(fmt::format("unexpected tag '{}'", after().text));
      case Kind::kBlockEnd:
      case Kind::kPrintEnd:
        fail_here("unexpected end of a tag");
      default:
        fail_here(fmt::format("unexpected '{}'", now().text));
    }
  }
  bool is(std::string_view op) const { return now().kind == Kind::kOperator && now().text == op; }
  bool is_name(std::string_view name) const {
    return now().kind == Kind::kName && now().text == name;
  }
  bool skip(std::string_view op) {
    const bool yes = is(op);
    if (yes) next();
    return yes;
  }
  bool skip_name(std::string_view name) {
    const bool yes = is_name(name);
    if (yes) next();
    return yes;
  }
  void expect(std::string_view op) {
    if (!skip(op)) unexpected();
  }
  void expect_name(std::string_view name) {
    if (!skip_name(name)) unexpected();
  }
  void expect(Kind kind) {
    if (now().kind != kind) unexpected();
    next();
  }
  std::string name() {
    if (now().kind != Kind::kName) unexpected();
    std::string out = now().text;
    next();
    return out;
  }

  NodePtr make(Op op, int line, NodePtr a = {}, NodePtr b = {}, NodePtr c = {}) {
    auto node = std::make_unique<Node>();
    node->op = op;
    node->line = line;
    node->a = std::move(a);
    node->b = std::move(b);
    node->c = std::move(c);
    return finished(std::move(node));
  }
  NodePtr named(Op op, int line, std::string text, NodePtr a = {}, NodePtr b = {}) {
    NodePtr node = make(op, line, std::move(a), std::move(b));
    node->name = std::move(text);
    return node;
  }
  // Sets the depth, after children were added.
  NodePtr finished(NodePtr node) {
    for (const Node* child : {node->a.get(), node->b.get(), node->c.get()}) deepen(*node, child);
    for (const NodePtr& child : node->list) deepen(*node, child.get());
    for (const auto& child : node->parameters) deepen(*node, child.second.get());
    if (node->depth > kMaxTree) stop(fmt::format("line {}: nested too deep", node->line));
    return node;
  }
  static void deepen(Node& node, const Node* child) {
    if (child) node.depth = std::max(node.depth, child->depth + 1);
  }

  // Statements, to a tag that begins with one of `ends` (left unread) or the end.
  NodePtr block(std::initializer_list<std::string_view> ends) {
    const Nested nested(*this);
    NodePtr out = make(Op::kBlock, now().line);
    for (;;) {
      const int line = now().line;
      if (now().kind == Kind::kText) {
        out->list.push_back(named(Op::kText, line, now().text));
        next();
      } else if (now().kind == Kind::kPrint) {
        next();
        out->list.push_back(make(Op::kPrint, line, tuple()));
        expect(Kind::kPrintEnd);
      } else if (now().kind == Kind::kBlock) {
        if (std::ranges::find(ends, after().text) != ends.end()) break;
        next();
        out->list.push_back(statement(line));
      } else if (ends.size() > 0) {
        fail_here(fmt::format("'{}' is missing", *(ends.end() - 1)));
      } else {
        break;
      }
    }
    return finished(std::move(out));
  }
  // The tag that ends a block: "endfor" or the like.
  void end_tag(std::string_view what) {
    expect(Kind::kBlock);
    expect_name(what);
    expect(Kind::kBlockEnd);
  }

  NodePtr statement(int line) {
    if (now().kind != Kind::kName) unexpected();
    const std::string what = now().text;
    next();
    if (what == "if") return if_statement(line);
    if (what == "for") return for_statement(line);
    if (what == "set") return set_statement(line);
    if (what == "macro") return macro(line, name());
    if (what == "filter") return filter_block(line);
    if (what == "generation") {
      expect(Kind::kBlockEnd);
      NodePtr body = scope_block("endgeneration");
      return make(Op::kScope, line, std::move(body));
    }
    if (what == "break" || what == "continue") {
      expect(Kind::kBlockEnd);
      if (loops_ == 0) fail_here(fmt::format("'{}' outside a loop", what));
      return make(what == "break" ? Op::kBreak : Op::kContinue, line);
    }
    fail_here(fmt::format("the tag '{}' is not known", what));
  }
  // A body that runs as a call of its own: `break` in it ends no loop around it.
  NodePtr scope_block(std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    NodePtr body = block({end});
    loops_ = loops;
    end_tag(end);
    return body;
  }

  NodePtr if_statement(int line) {
    NodePtr out = make(Op::kIf, line);
    for (;;) {
      out->list.push_back(tuple(false));
      expect(Kind::kBlockEnd);
      out->list.push_back(block({"elif", "else", "endif"}));
      next();
      if (!skip_name("elif")) break;
    }
    if (skip_name("else")) {
      expect(Kind::kBlockEnd);
      out->b = block({"endif"});
      next();
    }
    expect_name("endif");
    expect(Kind::kBlockEnd);
    return finished(std::move(out));
  }

  NodePtr for_statement(int line) {
    NodePtr out = make(Op::kFor, line);
    out->a = targets();
    expect_name("in");
    out->b = tuple(false);
    if (skip_name("if")) out->c = expression();
    if (is_name("recursive")) fail_here("recursive loops are not supported");
    expect(Kind::kBlockEnd);
    ++loops_;
    out->list.push_back(block({"else", "endfor"}));
    --loops_;
    next();
    if (skip_name("else")) {
      expect(Kind::kBlockEnd);
      out->list.push_back(block({"endfor"}));
      next();
    }
    expect_name("endfor");
    expect(Kind::kBlockEnd);
    return finished(std::move(out));
  }

  // Names to assign to: a kName, a kTuple of them, or (namespace.x) a kAttribute.
  NodePtr targets() {
    const int line = now().line;
    std::vector<NodePtr> list;
    bool is_tuple = false;
    do {
      if (!list.empty() && (is_name("in") || is("="))) break;
      list.push_back(one_target());
      if (is(",")) is_tuple = true;
    } while (skip(","));
    if (!is_tuple) return std::move(list.front());
    NodePtr out = make(Op::kTuple, line);
    out->list = std::move(list);
    return finished(std::move(out));
  }
  NodePtr one_target() {
    const Nested nested(*this);
    if (skip("(")) {
      NodePtr out = targets();
      expect(")");
      return out;
    }
    const int line = now().line;
    NodePtr out = named(Op::kName, line, name());
    static constexpr std::array kReserved = {"true", "false", "none", "True", "False", "None"};
    if (std::ranges::find(kReserved, out->name) != kReserved.end())
      fail_here(fmt::format("cannot assign to '{}'", out->name));
    if (skip(".")) {
      std::string attribute = name();
      out = named(Op::kAttribute, line, std::move(attribute), std::move(out));
    }
    return out;
  }

  NodePtr set_statement(int line) {
    NodePtr target = targets();
    if (skip("=")) {
      NodePtr value = tuple();
      expect(Kind::kBlockEnd);
      return make(Op::kSet, line, std::move(target), std::move(value));
    }
    expect(Kind::kBlockEnd);
    return make(Op::kSetBlock, line, std::move(target), scope_block("endset"));
  }

  void signature(Node& out) {
    expect("(");
    while (!is(")")) {
      if (!out.parameters.empty()) {
        expect(",");
        if (is(")")) break;
      }
      std::string parameter = name();
      NodePtr fallback;
      if (skip("=")) fallback = expression();
      if (!fallback && !out.parameters.empty() && out.parameters.back().second)
        fail_here("a parameter without a default follows one with");
      out.parameters.emplace_back(std::move(parameter), std::move(fallback));
    }
    expect(")");
  }
  NodePtr macro(int line, std::string its_name) {
    NodePtr out = named(Op::kMacro, line, std::move(its_name));
    signature(*out);
    expect(Kind::kBlockEnd);
    out->a = scope_block("endmacro");
    return finished(std::move(out));
  }
  NodePtr filter_block(int line) {
    NodePtr out = make(Op::kFilterBlock, line);
    out->list.push_back(filter(nullptr));
    while (skip("|")) out->list.push_back(filter(nullptr));
    expect(Kind::kBlockEnd);
    out->a = scope_block("endfilter");
    return finished(std::move(out));
  }
  // Expressions, from the loosest to the tightest.
  NodePtr tuple(bool with_choice = true) {
    const int line = now().line;
    NodePtr first = with_choice ? expression() : or_expression();
    if (!is(",")) return first;
    NodePtr out = make(Op::kTuple, line);
    out->list.push_back(std::move(first));
    while (skip(",")) {
      if (now().kind == Kind::kBlockEnd || now().kind == Kind::kPrintEnd || is(")")) break;
      out->list.push_back(with_choice ? expression() : or_expression());
    }
    return finished(std::move(out));
  }

  NodePtr expression() {
    const Nested nested(*this);
    const int line = now().line;
    NodePtr out = or_expression();
    while (skip_name("if")) {
      NodePtr condition = or_expression();
      NodePtr other;
      if (skip_name("else")) other = expression();
      out = make(Op::kChoose, line, std::move(out), std::move(condition), std::move(other));
    }
    return out;
  }
  NodePtr or_expression() {
    const Nested nested(*this);
    NodePtr out = and_expression();
    while (is_name("or")) {
      const int line = now().line;
      next();
      out = make(Op::kOr, line, std::move(out), and_expression());
    }
    return out;
  }
  NodePtr and_expression() {
    NodePtr out = not_expression();
    while (is_name("and")) {
      const int line = now().line;
      next();
      out = make(Op::kAnd, line, std::move(out), not_expression());
    }
    return out;
  }
  NodePtr not_expression() {
    const Nested nested(*this);
    const int line = now().line;
    if (skip_name("not")) return make(Op::kNot, line, not_expression());
    return comparison();
  }
  NodePtr comparison() {
    const int line = now().line;
    NodePtr first = sum();
    NodePtr out;
    for (;;) {
      std::string op;
      if (now().kind == Kind::kOperator &&
          (is("==") || is("!=") || is("<") || is(">") || is("<=") || is(">="))) {
        op = now().text;
      } else if (is_name("in")) {
        op = "in";
      } else if (is_name("not") && after().kind == Kind::kName && after().text == "in") {
        next();
        op = "not in";
      } else {
        break;
      }
      next();
      if (!out) out = make(Op::kCompare, line, std::move(first));
      out->names.push_back(std::move(op));
      out->list.push_back(sum());
    }
    return out ? finished(std::move(out)) : std::move(first);
  }
  NodePtr sum() {
    NodePtr out = concatenation();
    while (is("+") || is("-")) out = binary(std::move(out), [&] { return concatenation(); });
    return out;
  }
  NodePtr concatenation() {
    const int line = now().line;
    NodePtr first = product();
    if (!is("~")) return first;
    NodePtr out = make(Op::kConcat, line);
    out->list.push_back(std::move(first));
    while (skip("~")) out->list.push_back(product());
    return finished(std::move(out));
  }
  NodePtr product() {
    NodePtr out = unary(true);
    while (is("*") || is("/") || is("//") || is("%"))
      out = binary(std::move(out), [&] { return unary(true); });
    return out;
  }
  template <class Right>
  NodePtr binary(NodePtr left, Right right) {
    const int line = now().line;
    std::string op = now().text;
    next();
    return named(Op::kBinary, line, std::move(op), std::move(left), right());
  }
  NodePtr unary(bool with_filters) {
    const Nested nested(*this);
    const int line = now().line;
    NodePtr out;
    if (skip("-"))
      out = make(Op::kNegate, line, unary(false));
    else
      out = primary();
    out = postfix(std::move(out));
    return with_filters ? filtered(std::move(out)) : std::move(out);
  }

  NodePtr constant(int line, Value value) {
    NodePtr out = make(Op::kConstant, line);
    out->value = std::move(value);
    return out;
  }
  NodePtr primary() {
    const int line = now().line;
    const Token token = now();
    switch (token.kind) {
      case Kind::kName:
        next();
        if (token.text == "true" || token.text == "True") return constant(line, true);
        if (token.text == "false" || token.text == "False") return constant(line, false);
        if (token.text == "none" || token.text == "None") return constant(line, Value::none());
        return named(Op::kName, line, token.text);
      case Kind::kString: {
        std::string text;
        for (; now().kind == Kind::kString; next()) text += now().text;
        return constant(line, std::move(text));
      }
      case Kind::kNumber:
        next();
        return constant(line, token.number);
      default:
        break;
    }
    if (skip("(")) {
      NodePtr out;
      if (is(")"))
        out = make(Op::kTuple, line);
      else
        out = tuple();
      expect(")");
      return out;
    }
    if (skip("[")) {
      NodePtr out = make(Op::kList, line);
      while (!is("]")) {
        if (!out->list.empty()) expect(",");
        if (is("]")) break;
        out->list.push_back(expression());
      }
      expect("]");
      return finished(std::move(out));
    }
    if (skip("{")) {
      NodePtr out = make(Op::kDict, line);
      while (!is("}")) {
        if (!out->list.empty()) expect(",");
        if (is("}")) break;
        out->list.push_back(expression());
        expect(":");
        out->list.push_back(expression());
      }
      expect("}");
      return finished(std::move(out));
    }
    unexpected();
  }

  NodePtr postfix(NodePtr node) {
    for (;;) {
      if (is(".") || is("["))
        node = subscript(std::move(node));
      else if (is("("))
        node = call(std::move(node));
      else
        return node;
    }
  }
  NodePtr subscript(NodePtr node) {
    const int line = now().line;
    if (skip(".")) {
      const Token token = now();
      next();
      if (token.kind == Kind::kName)
        return named(Op::kAttribute, line, token.text, std::move(node));
      if (token.kind != Kind::kNumber || !token.number.is_integer())
        fail_here("expected a name or number after '.'");
      return make(Op::kItem, line, std::move(node), constant(line, token.number));
    }
    expect("[");
    NodePtr key = slice();
    expect("]");
    return make(Op::kItem, line, std::move(node), std::move(key));
  }
  NodePtr slice() {
    const int line = now().line;
    NodePtr start, end, step;
    if (!is(":")) {
      start = expression();
      if (!is(":")) return start;
    }
    expect(":");
    if (!is("]") && !is(":")) end = expression();
    if (skip(":") && !is("]")) step = expression();
    return make(Op::kSlice, line, std::move(start), std::move(end), std::move(step));
  }
  void arguments(Node& out) {
    expect("(");
    bool first = true;
    while (!is(")")) {
      if (!first) {
        expect(",");
        if (is(")")) break;
      }
      first = false;
      if (now().kind == Kind::kName && after().kind == Kind::kOperator && after().text == "=") {
        std::string key = name();
        next();
        out.parameters.emplace_back(std::move(key), expression());
      } else {
        if (!out.parameters.empty()) fail_here("a positional argument follows a named one");
        out.list.push_back(expression());
      }
    }
    expect(")");
  }
  NodePtr call(NodePtr callee) {
    NodePtr out = make(Op::kCall, now().line, std::move(callee));
    arguments(*out);
    return finished(std::move(out));
  }
  NodePtr filtered(NodePtr node) {
    for (;;) {
      if (skip("|"))
        node = filter(std::move(node));
      else if (is_name("is"))
        node = test(std::move(node));
      else if (is("("))
        node = call(std::move(node));
      else
        return node;
    }
  }
  std::string dotted_name() {
    std::string out = name();
    while (skip(".")) out += "." + name();
    return out;
  }
  NodePtr filter(NodePtr operand) {
    const int line = now().line;
    NodePtr out = named(Op::kFilter, line, dotted_name(), std::move(operand));
    if (is("(")) arguments(*out);
    return finished(std::move(out));
  }
  NodePtr test(NodePtr operand) {
    const int line = now().line;
    next();
    const bool negated = skip_name("not");
    NodePtr out = named(Op::kTest, line, is("in") ? "in" : dotted_name(), std::move(operand));
    if (is("(")) {
      arguments(*out);
    } else if (begins_argument()) {
      if (is_name("is")) fail_here("you cannot chain multiple tests with 'is'");
      out->list.push_back(postfix(primary()));
    }
    out = finished(std::move(out));
    return negated ? make(Op::kNot, line, std::move(out)) : std::move(out);
  }
  bool begins_argument() const {
    switch (now().kind) {
      case Kind::kString:
      case Kind::kNumber:
        return true;
      case Kind::kOperator:
        return is("[") || is("{");
      case Kind::kName:
        return !is_name("else") && !is_name("or") && !is_name("and");
      default:
        return false;
    }
  }

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int nested_ = 0;
  int loops_ = 0;  // around the statement being read
};

}  // namespace

NodePtr parse(std::string_view source) {
  return Parser(source).run();
}

}  // namespace tack::jinja
