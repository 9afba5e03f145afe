#include "text/template.h"

#include <algorithm>
#include <cmath>

#include "text/template_syntax.h"

namespace tack {
namespace jinja {
namespace {

constexpr std::int64_t kMaxRange = 100'000;  // Jinja2's sandbox has the same

// Variables of a loop, a macro or the template; `if` has none of its own.
struct Scope {
  std::shared_ptr<Scope> parent;
  std::vector<std::pair<std::string, Value>> variables;

  const Value* find(std::string_view name, Meter& meter) const {
    for (const Scope* scope = this; scope; scope = scope->parent.get()) {
      meter.step(static_cast<std::int64_t>(scope->variables.size() / 16));
      for (const auto& [key, value] : scope->variables)
        if (key == name) return &value;
    }
    return nullptr;
  }
  void set(std::string_view name, Value value) {
    for (auto& [key, old] : variables)
      if (key == name) {
        old = std::move(value);
        return;
      }
    variables.emplace_back(name, std::move(value));
  }
};
using ScopePtr = std::shared_ptr<Scope>;

// `v` by reference: it is read after `overflow` was computed.
Value checked(bool overflow, const std::int64_t& v) {
  if (overflow) stop("an integer is too large");
  return v;
}

[[noreturn]] void bad_operands(std::string_view op, const Value& a, const Value& b) {
  for (const Value* v : {&a, &b}) must_be_defined(*v);
  stop(fmt::format("unsupported operands for {}: '{}' and '{}'", op, type_name(a), type_name(b)));
}

Value repeated(const Value& v, std::int64_t times, Meter& meter) {
  times = std::max<std::int64_t>(times, 0);
  const std::size_t each = v.is_string() ? v.text().size() : v.items().size() * sizeof(Value);
  if (each > 0 && times > (std::int64_t{1} << 31)) stop("the template makes too much text");
  if (each == 0) return v;
  meter.take(each * static_cast<std::size_t>(times));
  if (v.is_string()) {
    std::string out;
    for (std::int64_t i = 0; i < times; ++i) out += v.text();
    return out;
  }
  List out;
  for (std::int64_t i = 0; i < times; ++i)
    out.insert(out.end(), v.items().begin(), v.items().end());
  return Value::list(std::move(out), v.kind);
}

// Rounded down, as the remainder has the sign of the divisor.
Value floor_divided(std::int64_t x, std::int64_t y, bool remainder) {
  if (y == -1) {  // INT64_MIN / -1 does not exist
    if (remainder) return std::int64_t{0};
    return checked(x == INT64_MIN, x == INT64_MIN ? 0 : -x);
  }
  std::int64_t q = x / y, r = x % y;
  if (r != 0 && (r < 0) != (y < 0)) {
    --q;
    r += y;
  }
  return remainder ? r : q;
}

Value binary(const std::string& op, const Value& a, const Value& b, Meter& meter) {
  if (op == "+") return add(a, b, meter);
  if (op == "*") {
    const bool text_a = a.is_string() || a.is_sequence(), text_b = b.is_string() || b.is_sequence();
    if (text_a && b.is_integer()) return repeated(a, b.integer(), meter);
    if (text_b && a.is_integer()) return repeated(b, a.integer(), meter);
  }
  if (!a.is_number() || !b.is_number()) bad_operands(op, a, b);
  const bool integers = a.is_integer() && b.is_integer();
  std::int64_t out = 0;
  if (op == "-")
    return integers ? checked(__builtin_sub_overflow(a.integer(), b.integer(), &out), out)
                    : Value(a.number() - b.number());
  if (op == "*")
    return integers ? checked(__builtin_mul_overflow(a.integer(), b.integer(), &out), out)
                    : Value(a.number() * b.number());
  if (b.number() == 0) stop("division by zero");
  if (op == "/") return a.number() / b.number();
  if (!integers) bad_operands(op, a, b);
  return floor_divided(a.integer(), b.integer(), op == "%");
}

class Renderer {
 public:
  Renderer(const Json& variables, std::time_t now) : now_(now) {
    globals();
    auto context = std::make_shared<Scope>();
    context->parent = scope_;
    for (const auto& [key, value] : variables.items())
      context->variables.emplace_back(key, from_json(value));
    // The template's own assignments stand above what it was given.
    scope_ = std::make_shared<Scope>();
    scope_->parent = std::move(context);
  }
  // Macros know the scope that knows them, and namespaces may hold themselves.
  ~Renderer() {
    for (const ScopePtr& scope : macro_scopes_) scope->variables.clear();
    for (const Value& v : namespaces_) v.box().items.clear();
  }
  Renderer(const Renderer&) = delete;
  Renderer& operator=(const Renderer&) = delete;

  std::string run(const Node& root) {
    std::string out;
    out_ = &out;
    execute(root);
    return out;
  }
  const Meter& meter() const { return meter_; }

 private:
  enum class Flow : std::uint8_t { kOn, kBreak, kContinue };

  class InScope {
   public:
    InScope(Renderer& renderer, ScopePtr scope)
        : renderer_(renderer), before_(std::exchange(renderer.scope_, std::move(scope))) {}
    ~InScope() { renderer_.scope_ = std::move(before_); }
    InScope(const InScope&) = delete;
    InScope& operator=(const InScope&) = delete;

   private:
    Renderer& renderer_;
    ScopePtr before_;
  };
  class Into {
   public:
    Into(Renderer& renderer, std::string& out)
        : renderer_(renderer), before_(std::exchange(renderer.out_, &out)) {}
    ~Into() { renderer_.out_ = before_; }
    Into(const Into&) = delete;
    Into& operator=(const Into&) = delete;

   private:
    Renderer& renderer_;
    std::string* before_;
  };
  ScopePtr inner(const ScopePtr& parent) {
    auto scope = std::make_shared<Scope>();
    scope->parent = parent;
    return scope;
  }

  void globals() {
    scope_ = std::make_shared<Scope>();
    const auto global = [&](const char* name, std::function<Value(Arguments&)> call) {
      scope_->set(name, Value::function(name, std::move(call)));
    };
    global("raise_exception",
           [](Arguments& a) -> Value { throw Failure{str(a.need(0, "message"), a.meter), true}; });
    global("namespace", [this](Arguments& a) {
      if (!a.values.empty()) stop("namespace takes named arguments only");
      DictBox box;
      for (const auto& [name, value] : a.named) {
        check_name(name);
        box.set(name, value);
      }
      namespaces_.push_back(Value::dict(std::move(box), Kind::kNamespace));
      return namespaces_.back();
    });
    global("range", range);
    global("strftime_now", [this](Arguments& a) -> Value {
      const Value& format = a.need(0, "format");
      if (!format.is_string()) stop("strftime_now needs a format");
      std::tm parts{};
      localtime_r(&now_, &parts);
      char buffer[512];
      return std::string(buffer,
                         std::strftime(buffer, sizeof buffer, format.text().c_str(), &parts));
    });
  }
  // As transformers' namespaces.
  static void check_name(const std::string& name) {
    if (name.starts_with('_')) stop("names in a namespace cannot begin with '_'");
  }
  static Value range(Arguments& a) {
    std::int64_t limits[3] = {0, 0, 1};
    if (a.values.empty() || a.values.size() > 3) stop("range takes one to three integers");
    for (std::size_t i = 0; i < a.values.size(); ++i) {
      if (!a.values[i].is_integer()) stop("range takes integers");
      limits[a.values.size() == 1 ? 1 : i] = a.values[i].integer();
    }
    const auto [begin, end, step] = limits;
    if (step == 0) stop("range: the step is zero");
    const double count = std::ceil((static_cast<double>(end) - static_cast<double>(begin)) /
                                   static_cast<double>(step));
    if (count > static_cast<double>(kMaxRange)) stop("range is too big");
    List out;
    if (count > 0) a.meter.take(static_cast<std::size_t>(count) * sizeof(Value));
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(std::max(count, 0.0)); ++i)
      out.emplace_back(begin + i * step);
    return Value::list(std::move(out));
  }

  void print(std::string_view text) {
    if (text.size() + out_->size() > Template::kMaxOutput) stop("the template writes too much");
    meter_.take(text.size());
    out_->append(text);
  }

  void at(const Node& node) {
    meter_.step();
    meter_.line = node.line;
  }

  Flow execute(const Node& node) {
    const Deeper deeper(meter_);
    at(node);
    switch (node.op) {
      case Op::kText:
        print(node.name);
        break;
      case Op::kPrint:
        print(str(evaluate(*node.a), meter_));
        break;
      case Op::kBlock:
        for (const NodePtr& child : node.list)
          if (const Flow flow = execute(*child); flow != Flow::kOn) return flow;
        break;
      case Op::kIf:
        for (std::size_t i = 0; i < node.list.size(); i += 2)
          if (truth(evaluate(*node.list[i]))) return execute(*node.list[i + 1]);
        if (node.b) return execute(*node.b);
        break;
      case Op::kFor:
        loop(node);
        break;
      case Op::kSet:
        assign(*node.a, evaluate(*node.b));
        break;
      case Op::kSetBlock:
        assign(*node.a, captured(*node.b));
        break;
      case Op::kMacro:
        scope_->set(node.name, macro(node));
        break;
      case Op::kScope: {
        const InScope in(*this, inner(scope_));
        return execute(*node.a);
      }
      case Op::kFilterBlock:
        print(str(filtered(captured(*node.a), node.list), meter_));
        break;
      case Op::kBreak:
        return Flow::kBreak;
      case Op::kContinue:
        return Flow::kContinue;
      default:
        stop("not a statement");
    }
    return Flow::kOn;
  }

  std::string captured(const Node& body) {
    std::string out;
    const Into into(*this, out);
    const InScope in(*this, inner(scope_));
    execute(body);
    return out;
  }
  Value filtered(Value v, const std::vector<NodePtr>& filters) {
    for (const NodePtr& filter : filters) {
      Arguments arguments = evaluated_arguments(*filter);
      at(*filter);
      v = apply_filter(filter->name, v, arguments);
    }
    return v;
  }

  void loop(const Node& node) {
    List items = iterate(evaluate(*node.b), meter_);
    if (node.c) {
      std::erase_if(items, [&](const Value& item) {
        const InScope in(*this, inner(scope_));
        assign(*node.a, item);
        return !truth(evaluate(*node.c));
      });
    }
    for (std::size_t i = 0; i < items.size(); ++i) {
      at(node);
      meter_.step(8);  // what the state of a loop costs
      const InScope in(*this, inner(scope_));
      scope_->set("loop", loop_state(items, i));
      assign(*node.a, items[i]);
      if (execute(*node.list[0]) == Flow::kBreak) break;
    }
    if (items.empty() && node.list.size() > 1) {
      const InScope in(*this, inner(scope_));
      execute(*node.list[1]);
    }
  }
  Value loop_state(const List& items, std::size_t i) {
    const auto n = static_cast<std::int64_t>(items.size()), at = static_cast<std::int64_t>(i);
    DictBox box;
    box.items = {{"index", at + 1},
                 {"index0", at},
                 {"revindex", n - at},
                 {"revindex0", n - at - 1},
                 {"first", at == 0},
                 {"last", at == n - 1},
                 {"length", n},
                 {"previtem", i > 0 ? items[i - 1] : Value::undefined("there is no previous item")},
                 {"nextitem",
                  i + 1 < items.size() ? items[i + 1] : Value::undefined("there is no next item")}};
    return Value::dict(std::move(box));
  }

  void assign(const Node& target, Value value) {
    if (target.op == Op::kName) {
      meter_.step(static_cast<std::int64_t>(scope_->variables.size() / 16));
      scope_->set(target.name, std::move(value));
    } else if (target.op == Op::kAttribute) {
      const Value owner = evaluate(*target.a);
      if (!owner.is(Kind::kNamespace)) stop("cannot assign attribute on non-namespace object");
      // What holds itself would nest without end.
      check_name(target.name);
      DictBox& box = owner.box();
      if (value.depth() > 100) stop("nested too deep");
      box.depth = std::max(box.depth, value.depth() + 1);
      box.set(target.name, std::move(value));
    } else {
      const List values = iterate(value, meter_);
      if (values.size() != target.list.size())
        stop(fmt::format("{} values to unpack, expected {}", values.size(), target.list.size()));
      for (std::size_t i = 0; i < values.size(); ++i) assign(*target.list[i], values[i]);
    }
  }

  Value macro(const Node& node) {
    if (macro_scopes_.empty() || macro_scopes_.back() != scope_) macro_scopes_.push_back(scope_);
    return Value::function(node.name, [this, &node, home = scope_](Arguments& a) -> Value {
      if (a.values.size() > node.parameters.size())
        stop(fmt::format("macro '{}' takes not more than {} argument(s)", node.name,
                         node.parameters.size()));
      const ScopePtr scope = inner(home);
      const InScope in(*this, scope);
      for (std::size_t i = 0; i < node.parameters.size(); ++i) {
        const auto& [name, fallback] = node.parameters[i];
        const Value* given = a.find(i, name);
        Value value = given ? *given
                      : fallback
                          ? evaluate(*fallback)
                          : Value::undefined(fmt::format("parameter '{}' was not provided", name));
        scope->set(name, std::move(value));
      }
      for (const auto& [name, unused] : a.named) {
        const bool known = std::ranges::any_of(
            node.parameters, [&](const auto& parameter) { return parameter.first == name; });
        if (!known) stop(fmt::format("macro '{}' takes no keyword argument '{}'", node.name, name));
      }
      std::string out;
      const Into into(*this, out);
      execute(*node.a);
      return out;
    });
  }

  Arguments evaluated_arguments(const Node& node) {
    Arguments out{meter_, {}, {}};
    for (const NodePtr& argument : node.list) out.values.push_back(evaluate(*argument));
    for (const auto& [name, argument] : node.parameters)
      out.named.emplace_back(name, evaluate(*argument));
    return out;
  }

  Value evaluate(const Node& node) {
    const Deeper deeper(meter_);
    at(node);
    switch (node.op) {
      case Op::kConstant:
        return node.value;
      case Op::kName: {
        const Value* v = scope_->find(node.name, meter_);
        return v ? *v : Value::undefined(fmt::format("'{}' is undefined", node.name));
      }
      case Op::kAttribute:
        return get_attribute(evaluate(*node.a), node.name, meter_);
      case Op::kItem:
        return item(node);
      case Op::kCall: {
        const Value callee = evaluate(*node.a);
        Arguments arguments = evaluated_arguments(node);
        at(node);
        return call(callee, arguments);
      }
      case Op::kFilter: {
        const Value operand = evaluate(*node.a);
        Arguments arguments = evaluated_arguments(node);
        at(node);
        return apply_filter(node.name, operand, arguments);
      }
      case Op::kTest: {
        const Value operand = evaluate(*node.a);
        Arguments arguments = evaluated_arguments(node);
        return apply_test(node.name, operand, arguments);
      }
      case Op::kNot:
        return !truth(evaluate(*node.a));
      case Op::kNegate:
        return negated(evaluate(*node.a));
      case Op::kAnd: {
        Value left = evaluate(*node.a);
        return truth(left) ? evaluate(*node.b) : left;
      }
      case Op::kOr: {
        Value left = evaluate(*node.a);
        return truth(left) ? left : evaluate(*node.b);
      }
      case Op::kBinary: {
        const Value left = evaluate(*node.a), right = evaluate(*node.b);
        at(node);
        return binary(node.name, left, right, meter_);
      }
      case Op::kConcat: {
        std::string out;  // never markup: templates run without autoescape
        for (const NodePtr& part : node.list) out += str(evaluate(*part), meter_);
        return out;
      }
      case Op::kCompare:
        return compare(node);
      case Op::kChoose:
        if (truth(evaluate(*node.b))) return evaluate(*node.a);
        return node.c ? evaluate(*node.c)
                      : Value::undefined("the inline if evaluated to false and has no else");
      case Op::kList:
      case Op::kTuple: {
        List items;
        for (const NodePtr& child : node.list) items.push_back(evaluate(*child));
        return Value::list(std::move(items), node.op == Op::kList ? Kind::kList : Kind::kTuple);
      }
      case Op::kDict:
        return dict(node);
      default:
        stop("not an expression");
    }
  }

  Value dict(const Node& node) {
    DictBox box;
    for (std::size_t i = 0; i < node.list.size(); i += 2) {
      Value key = evaluate(*node.list[i]);
      must_be_hashable(key);
      meter_.step(static_cast<std::int64_t>(box.items.size() / 16));
      box.set(std::move(key), evaluate(*node.list[i + 1]));
    }
    return Value::dict(std::move(box));
  }

  static Value negated(const Value& v) {
    if (!v.is_number()) bad_operands("unary -", v, v);
    if (v.is(Kind::kFloat)) return -v.number();
    return checked(v.integer() == INT64_MIN, v.integer() == INT64_MIN ? 0 : -v.integer());
  }

  Value compare(const Node& node) {
    Value left = evaluate(*node.a);
    for (std::size_t i = 0; i < node.list.size(); ++i) {
      Value right = evaluate(*node.list[i]);
      if (!holds(node.names[i], left, right)) return false;
      left = std::move(right);
    }
    return true;
  }
  bool holds(const std::string& op, const Value& a, const Value& b) {
    if (op == "==") return equal(a, b, meter_);
    if (op == "!=") return !equal(a, b, meter_);
    if (op == "in") return contains(b, a, meter_);
    if (op == "not in") return !contains(b, a, meter_);
    if (op == "<") return less(a, b, meter_);
    if (op == ">") return less(b, a, meter_);
    if (op == "<=") return less(a, b, meter_) || equal(a, b, meter_);
    return less(b, a, meter_) || equal(a, b, meter_);
  }

  Value item(const Node& node) {
    const Value self = evaluate(*node.a);
    if (node.b->op != Op::kSlice) {
      const Value key = evaluate(*node.b);
      at(node);
      return get_item(self, key, meter_);
    }
    must_be_defined(self);
    if (!self.is_string() && !self.is_sequence())
      stop(fmt::format("'{}' object cannot be sliced", type_name(self)));
    return slice(self, *node.b);
  }
  Value slice(const Value& self, const Node& limits) {
    const auto limit = [&](const NodePtr& node) {
      Value v = node ? evaluate(*node) : Value::none();
      if (!v.is(Kind::kNone) && !v.is_integer()) stop("slice indices must be integers or None");
      return v;
    };
    const Value first = limit(limits.a), last = limit(limits.b), by = limit(limits.c);
    const std::int64_t n = length(self, meter_);
    const std::int64_t step = by.is(Kind::kNone) ? 1 : std::clamp(by.integer(), -n - 1, n + 1);
    if (!by.is(Kind::kNone) && by.integer() == 0) stop("slice step cannot be zero");
    const std::int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
    const auto place = [&](const Value& v, std::int64_t fallback) {
      if (v.is(Kind::kNone)) return fallback;
      const std::int64_t at = v.integer() < 0 ? v.integer() + n : v.integer();
      return std::clamp(at, low, high);
    };
    const std::int64_t begin = place(first, step > 0 ? low : high);
    const std::int64_t end = place(last, step > 0 ? high : low);
    if (self.is_string()) return sliced(self.text(), begin, end, step);
    meter_.take(self.items().size() * sizeof(Value));
    List items;
    for (std::int64_t i = begin; step > 0 ? i < end : i > end; i += step)
      items.push_back(self.items()[static_cast<std::size_t>(i)]);
    return Value::list(std::move(items), self.kind);
  }
  Value sliced(const std::string& s, std::int64_t begin, std::int64_t end, std::int64_t step) {
    meter_.take(s.size());
    if (step == 1) {  // of a long text: no list of its characters
      std::size_t from = 0;
      std::int64_t i = 0;
      for (; i < begin; ++i) from += char_bytes(s, from);
      std::size_t to = from;
      for (; i < end; ++i) to += char_bytes(s, to);
      return s.substr(from, to - from);
    }
    meter_.take(s.size() * sizeof(std::string_view));
    std::vector<std::string_view> characters;
    for (std::string_view c : Characters(s)) characters.push_back(c);
    std::string out;
    for (std::int64_t i = begin; step > 0 ? i < end : i > end; i += step)
      out += characters[static_cast<std::size_t>(i)];
    return out;
  }

  std::time_t now_;
  Meter meter_;
  ScopePtr scope_;
  std::string* out_ = nullptr;
  std::vector<ScopePtr> macro_scopes_;
  std::vector<Value> namespaces_;
};

// One line, whatever the template says.
std::string one_line(std::string text) {
  for (char& c : text)
    if (c == '\n' || c == '\r') c = ' ';
  return text;
}

bool reads(const Node& node, std::string_view variable) {
  if (node.op == Op::kName && node.name == variable) return true;
  const auto in = [&](const NodePtr& child) { return child && reads(*child, variable); };
  return in(node.a) || in(node.b) || in(node.c) || std::ranges::any_of(node.list, in) ||
         std::ranges::any_of(node.parameters, [&](const auto& one) { return in(one.second); });
}

}  // namespace

Value add(const Value& a, const Value& b, Meter& meter) {
  if (a.is_number() && b.is_number()) {
    std::int64_t out = 0;
    if (!a.is_integer() || !b.is_integer()) return a.number() + b.number();
    return checked(__builtin_add_overflow(a.integer(), b.integer(), &out), out);
  }
  if (a.is_string() && b.is_string()) {
    meter.take(a.text().size() + b.text().size());
    if (!a.markup && !b.markup) return a.text() + b.text();
    return Value::marked_up((a.markup ? a.text() : escaped_html(a.text())) +
                            (b.markup ? b.text() : escaped_html(b.text())));
  }
  if (!a.is_sequence() || a.kind != b.kind) bad_operands("+", a, b);
  meter.take((a.items().size() + b.items().size()) * sizeof(Value));
  List out = a.items();
  out.insert(out.end(), b.items().begin(), b.items().end());
  return Value::list(std::move(out), a.kind);
}

}  // namespace jinja

Template::Template(std::unique_ptr<jinja::Node> root) : root_(std::move(root)) {}
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;
Template::~Template() = default;

Result<Template> Template::parse(std::string_view source) {
  if (source.size() > kMaxSource)
    return fail("chat template: it has {} bytes, more than {}", source.size(), kMaxSource);
  try {
    return Template(jinja::parse(source));
  } catch (const jinja::Failure& failure) {
    return fail("chat template, {}", jinja::one_line(failure.message));
  }
}

bool Template::reads(std::string_view variable) const {
  return jinja::reads(*root_, variable);
}

Result<std::string> Template::render(const Json& variables, std::time_t now) const {
  if (!variables.is_object()) return fail("chat template: its variables must be an object");
  std::unique_ptr<jinja::Renderer> renderer;
  try {
    renderer = std::make_unique<jinja::Renderer>(variables, now);
    return renderer->run(*root_);
  } catch (const jinja::Failure& failure) {
    if (failure.raised) return fail(ErrorCode::kUsage, "{}", jinja::one_line(failure.message));
    return fail("chat template, line {}: {}", renderer ? renderer->meter().line : 0,
                jinja::one_line(failure.message));
  }
}

}  // namespace tack
