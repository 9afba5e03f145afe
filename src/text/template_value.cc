#include "text/template_value.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include <utf8proc.h>

namespace tack::jinja {

void stop(std::string message) {
  throw Failure{std::move(message)};
}

void Meter::step(std::int64_t n) {
  if ((steps -= n) < 0) stop("the template runs too long");
}
void Meter::take(std::size_t n) {
  if (n > static_cast<std::size_t>(bytes)) stop("the template makes too much text");
  bytes -= static_cast<std::int64_t>(n);
}
Deeper::Deeper(Meter& meter) : meter_(meter) {
  if (meter.depth >= Meter::kMaxDepth) stop("nested too deep");
  ++meter.depth;
}

namespace {
constexpr int kMaxNesting = 150;  // of lists and dicts: they are destroyed recursively
}

Value Value::none() {
  Value v;
  v.kind = Kind::kNone;
  return v;
}
Value Value::marked_up(std::string text) {
  Value v(std::move(text));
  v.markup = true;
  return v;
}
Value Value::undefined(std::string what) {
  Value v;
  v.data = std::make_shared<const std::string>(std::move(what));
  return v;
}
Value Value::list(List items, Kind kind) {
  auto box = std::make_shared<ListBox>();
  for (const Value& item : items) box->depth = std::max(box->depth, item.depth() + 1);
  if (box->depth > kMaxNesting) stop("lists nested too deep");
  box->items = std::move(items);
  Value v;
  v.kind = kind;
  v.data = std::move(box);
  return v;
}
Value Value::dict(DictBox dict, Kind kind) {
  for (const auto& [key, item] : dict.items)
    dict.depth = std::max({dict.depth, key.depth() + 1, item.depth() + 1});
  if (dict.depth > kMaxNesting) stop("dicts nested too deep");
  Value v;
  v.kind = kind;
  v.data = std::make_shared<DictBox>(std::move(dict));
  return v;
}
Value Value::function(std::string name, std::function<Value(Arguments&)> call) {
  Value v;
  v.kind = Kind::kFunction;
  v.data = std::make_shared<Function>(Function{std::move(name), std::move(call)});
  return v;
}
const std::string& Value::text() const {
  return *std::get<std::shared_ptr<const std::string>>(data);
}
const List& Value::items() const {
  return std::get<std::shared_ptr<ListBox>>(data)->items;
}
DictBox& Value::box() const {
  return *std::get<std::shared_ptr<DictBox>>(data);
}
const Function& Value::callee() const {
  return *std::get<std::shared_ptr<Function>>(data);
}
std::int64_t Value::integer() const {
  return kind == Kind::kBool ? std::get<bool>(data) : std::get<std::int64_t>(data);
}
double Value::number() const {
  return kind == Kind::kFloat ? std::get<double>(data) : static_cast<double>(integer());
}
int Value::depth() const {
  if (is_sequence()) return std::get<std::shared_ptr<ListBox>>(data)->depth;
  if (is_dict() || is(Kind::kNamespace)) return box().depth;
  return 0;
}

const Value* DictBox::find(const Value& key) const {
  if (key.is_string()) return find(std::string_view(key.text()));
  Meter meter;
  for (const auto& [k, v] : items)
    if (equal(k, key, meter)) return &v;
  return nullptr;
}
const Value* DictBox::find(std::string_view key) const {
  for (const auto& [k, v] : items)
    if (k.is_string() && k.text() == key) return &v;
  return nullptr;
}
void DictBox::set(Value key, Value value) {
  if (const Value* old = find(key))
    *const_cast<Value*>(old) = std::move(value);
  else
    items.emplace_back(std::move(key), std::move(value));
}

const Value* Arguments::find(std::size_t at, std::string_view name) const {
  if (at < values.size()) return &values[at];
  for (const auto& [n, v] : named)
    if (n == name) return &v;
  return nullptr;
}
Value Arguments::get(std::size_t at, std::string_view name, Value fallback) const {
  const Value* v = find(at, name);
  return v ? *v : std::move(fallback);
}
const Value& Arguments::need(std::size_t at, std::string_view name) const {
  const Value* v = find(at, name);
  if (!v) stop(fmt::format("the argument '{}' is missing", name));
  return *v;
}

std::string_view type_name(const Value& v) {
  static constexpr std::array<std::string_view, 11> kNames = {
      "Undefined", "NoneType", "bool", "int",       "float",   "str",
      "list",      "tuple",    "dict", "Namespace", "function"};  // in the order of Kind
  return kNames[static_cast<std::size_t>(v.kind)];
}

void must_be_defined(const Value& v) {
  if (v.is(Kind::kUndefined)) stop(v.data.index() ? v.text() : "a value is undefined");
}
void must_be_hashable(const Value& key) {
  if (key.is(Kind::kList) || key.is_dict())
    stop(fmt::format("unhashable type: '{}'", type_name(key)));
}
std::int64_t whole(const Value& v) {
  if (!v.is_integer()) stop(fmt::format("'{}' object is not an integer", type_name(v)));
  return v.integer();
}

bool truth(const Value& v) {
  switch (v.kind) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return v.integer() != 0;
    case Kind::kFloat:
      return v.number() != 0;
    case Kind::kString:
      return !v.text().empty();
    case Kind::kList:
    case Kind::kTuple:
      return !v.items().empty();
    case Kind::kDict:
      return !v.box().items.empty();
    default:
      return true;
  }
}

bool equal(const Value& a, const Value& b, Meter& meter) {
  const Deeper deeper(meter);
  meter.step();
  if (a.is_number() && b.is_number())
    return a.is_integer() && b.is_integer() ? a.integer() == b.integer() : a.number() == b.number();
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::kString:
      meter.scan(std::min(a.text().size(), b.text().size()));
      return a.text() == b.text();
    case Kind::kList:
    case Kind::kTuple:
      return std::ranges::equal(a.items(), b.items(),
                                [&](const Value& x, const Value& y) { return equal(x, y, meter); });
    case Kind::kDict: {
      if (a.box().items.size() != b.box().items.size()) return false;
      for (const auto& [key, item] : a.box().items) {
        meter.step(static_cast<std::int64_t>(b.box().items.size()));
        const Value* other = b.box().find(key);
        if (!other || !equal(item, *other, meter)) return false;
      }
      return true;
    }
    case Kind::kNamespace:
      return &a.box() == &b.box();
    case Kind::kFunction:
      return &a.callee() == &b.callee();
    default:
      return true;
  }
}

bool less(const Value& a, const Value& b, Meter& meter) {
  const Deeper deeper(meter);
  meter.step();
  if (a.is_integer() && b.is_integer()) return a.integer() < b.integer();
  if (a.is_number() && b.is_number()) return a.number() < b.number();
  if (a.is_string() && b.is_string()) {
    meter.scan(std::min(a.text().size(), b.text().size()));
    return a.text() < b.text();  // UTF-8 keeps the order
  }
  if (a.is_sequence() && a.kind == b.kind) {
    const List &x = a.items(), &y = b.items();
    for (std::size_t i = 0; i < std::min(x.size(), y.size()); ++i)
      if (!equal(x[i], y[i], meter)) return less(x[i], y[i], meter);
    return x.size() < y.size();
  }
  must_be_defined(a);
  must_be_defined(b);
  stop(fmt::format("'{}' and '{}' have no order", type_name(a), type_name(b)));
}

bool contains(const Value& container, const Value& item, Meter& meter) {
  if (container.is_string()) {
    if (!item.is_string())
      stop(fmt::format("'in <string>' needs a string, not {}", type_name(item)));
    return find_in(container.text(), item.text(), meter) != std::string::npos;
  }
  if (container.is_dict()) {
    meter.step(static_cast<std::int64_t>(container.box().items.size()));
    must_be_hashable(item);
    return container.box().find(item) != nullptr;
  }
  for (const Value& v : iterate(container, meter))
    if (equal(v, item, meter)) return true;
  return false;
}

std::int64_t length(const Value& v, Meter& meter) {
  if (v.is_string()) {
    meter.scan(v.text().size());
    return char_count(v.text());
  }
  if (v.is_sequence()) return static_cast<std::int64_t>(v.items().size());
  if (v.is_dict()) return static_cast<std::int64_t>(v.box().items.size());
  if (v.is(Kind::kUndefined)) return 0;
  stop(fmt::format("object of type '{}' has no len()", type_name(v)));
}

List iterate(const Value& v, Meter& meter) {
  List out;
  if (v.is_string()) {
    meter.take(v.text().size() * sizeof(Value));
    for (std::string_view c : Characters(v.text())) out.emplace_back(c);
  } else if (v.is_sequence()) {
    meter.take(v.items().size() * sizeof(Value));
    out = v.items();
  } else if (v.is_dict()) {
    meter.take(v.box().items.size() * sizeof(Value));
    for (const auto& item : v.box().items) out.push_back(item.first);
  } else if (!v.is(Kind::kUndefined)) {
    stop(fmt::format("'{}' object is not iterable", type_name(v)));
  }
  return out;
}

std::string float_repr(double v) {
  if (std::isnan(v)) return "nan";
  if (std::isinf(v)) return v < 0 ? "-inf" : "inf";
  char digits[64];
  const auto end =
      std::to_chars(digits, digits + sizeof digits, v, std::chars_format::scientific).ptr;
  const std::string scientific(digits, end);
  const int exponent = std::atoi(scientific.c_str() + scientific.find('e') + 1);
  if (exponent < -4 || exponent >= 16) return scientific;  // both write at least two digits
  char plain[64];
  std::string out(plain,
                  std::to_chars(plain, plain + sizeof plain, v, std::chars_format::fixed).ptr);
  if (out.find('.') == std::string::npos) out += ".0";
  return out;
}

namespace {

bool printable(std::int32_t code) {
  const auto category = utf8proc_category(code);
  switch (category) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    case UTF8PROC_CATEGORY_ZS:
      return code == ' ';
    default:
      return true;
  }
}

std::string python_quoted(std::string_view s) {
  const bool twice = s.find('\'') != s.npos && s.find('"') == s.npos;
  const char quote = twice ? '"' : '\'';
  std::string out(1, quote);
  for (std::string_view c : Characters(s)) {
    const std::int32_t code = code_point(c);
    if (code == quote || code == '\\')
      out.append(1, '\\').append(c);
    else if (code == '\n')
      out += "\\n";
    else if (code == '\r')
      out += "\\r";
    else if (code == '\t')
      out += "\\t";
    else if (code >= 0 && printable(code))
      out += c;
    else if (code < 0)
      out += c;
    else if (code < 0x100)
      out += fmt::format("\\x{:02x}", code);
    else if (code < 0x10000)
      out += fmt::format("\\u{:04x}", code);
    else
      out += fmt::format("\\U{:08x}", code);
  }
  return out + quote;
}

}  // namespace

std::string repr(const Value& v, Meter& meter) {
  const Deeper deeper(meter);
  meter.step();
  std::string out;
  switch (v.kind) {
    case Kind::kUndefined:
      out = "Undefined";
      break;
    case Kind::kNone:
      out = "None";
      break;
    case Kind::kBool:
      out = v.integer() ? "True" : "False";
      break;
    case Kind::kInt:
      out = std::to_string(v.integer());
      break;
    case Kind::kFloat:
      out = float_repr(v.number());
      break;
    case Kind::kString:
      out = python_quoted(v.text());
      break;
    case Kind::kList:
    case Kind::kTuple: {
      const bool list = v.is(Kind::kList);
      out = list ? "[" : "(";
      for (const Value& item : v.items()) {
        if (out.size() > 1) out += ", ";
        out += repr(item, meter);
      }
      if (!list && v.items().size() == 1) out += ',';
      out += list ? ']' : ')';
      break;
    }
    case Kind::kDict:
    case Kind::kNamespace:
      out = "{";
      for (const auto& [key, item] : v.box().items) {
        if (out.size() > 1) out += ", ";
        out += repr(key, meter);
        out += ": ";
        out += repr(item, meter);
      }
      out += '}';
      if (v.is(Kind::kNamespace)) out = "<Namespace " + out + ">";
      break;
    case Kind::kFunction:
      out = fmt::format("<Macro '{}'>", v.callee().name);
      break;
  }
  meter.take(out.size());
  return out;
}

std::string str(const Value& v, Meter& meter) {
  if (v.is(Kind::kUndefined)) return "";
  if (!v.is_string()) return repr(v, meter);
  meter.take(v.text().size());
  return v.text();
}

}  // namespace tack::jinja
