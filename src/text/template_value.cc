#include "text/template_value.h"

#include <algorithm>
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
  switch (v.kind) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kFunction:
      return "function";
  }
  return "";
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
  if (a.is_string() && b.is_string()) return a.text() < b.text();  // UTF-8 keeps the order
  if (a.is_sequence() && a.kind == b.kind) {
    const List &x = a.items(), &y = b.items();
    for (std::size_t i = 0; i < std::min(x.size(), y.size()); ++i)
      if (!equal(x[i], y[i], meter)) return less(x[i], y[i], meter);
    return x.size() < y.size();
  }
  if (a.is(Kind::kUndefined)) stop(a.data.index() ? a.text() : "a value is undefined");
  if (b.is(Kind::kUndefined)) stop(b.data.index() ? b.text() : "a value is undefined");
  stop(fmt::format("'{}' and '{}' have no order", type_name(a), type_name(b)));
}

bool contains(const Value& container, const Value& item, Meter& meter) {
  if (container.is_string()) {
    if (!item.is_string())
      stop(fmt::format("'in <string>' needs a string, not {}", type_name(item)));
    meter.step(static_cast<std::int64_t>(container.text().size() / 64));
    return container.text().find(item.text()) != std::string::npos;
  }
  if (container.is_dict()) {
    meter.step(static_cast<std::int64_t>(container.box().items.size()));
    if (item.is(Kind::kList) || item.is_dict())
      stop(fmt::format("unhashable type: '{}'", type_name(item)));
    return container.box().find(item) != nullptr;
  }
  for (const Value& v : iterate(container, meter))
    if (equal(v, item, meter)) return true;
  return false;
}

std::int64_t length(const Value& v) {
  if (v.is_string()) return char_count(v.text());
  if (v.is_sequence()) return static_cast<std::int64_t>(v.items().size());
  if (v.is_dict()) return static_cast<std::int64_t>(v.box().items.size());
  if (v.is(Kind::kUndefined)) return 0;
  stop(fmt::format("object of type '{}' has no len()", type_name(v)));
}

List iterate(const Value& v, Meter& meter) {
  List out;
  if (v.is_string()) {
    meter.take(v.text().size() * sizeof(Value));
    for (std::string_view c : characters(v.text())) out.emplace_back(c);
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
  for (std::string_view c : characters(s)) {
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
      if (v.markup) out = "Markup(" + out + ")";
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

namespace {

std::string json_string(std::string_view s, bool ascii) {
  std::string out = "\"";
  for (std::string_view c : characters(s)) {
    const std::int32_t code = code_point(c);
    switch (code) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (code >= 0 && (code < 0x20 || (ascii && code > 0x7e))) {
          if (code >= 0x10000)
            out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10),
                               0xDC00 + ((code - 0x10000) & 0x3FF));
          else
            out += fmt::format("\\u{:04x}", code);
        } else {
          out += c;
        }
    }
  }
  return out + '"';
}

std::string json_number(double v) {
  if (std::isnan(v)) return "NaN";
  if (std::isinf(v)) return v < 0 ? "-Infinity" : "Infinity";
  return float_repr(v);
}

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, Meter& meter) : style_(style), meter_(meter) {}

  void write(const Value& v) {
    const Deeper deeper(meter_);
    meter_.step();
    const std::size_t before = out_.size();
    switch (v.kind) {
      case Kind::kNone:
        out_ += "null";
        break;
      case Kind::kBool:
        out_ += v.integer() ? "true" : "false";
        break;
      case Kind::kInt:
        out_ += std::to_string(v.integer());
        break;
      case Kind::kFloat:
        out_ += json_number(v.number());
        break;
      case Kind::kString:
        out_ += json_string(v.text(), style_.ascii);
        break;
      case Kind::kList:
      case Kind::kTuple:
        write_list(v.items());
        return;
      case Kind::kDict:
        write_dict(v.box());
        return;
      default:
        stop(fmt::format("Object of type {} is not JSON serializable", type_name(v)));
    }
    meter_.take(out_.size() - before);
  }
  std::string out_;

 private:
  void line() {
    if (style_.indent < 0) return;
    meter_.take(static_cast<std::size_t>(style_.indent) * static_cast<std::size_t>(level_) + 1);
    out_ += '\n';
    out_.append(static_cast<std::size_t>(style_.indent) * static_cast<std::size_t>(level_), ' ');
  }
  void separate(bool& first) {
    if (!first) out_ += style_.item_separator;
    first = false;
    line();
  }
  void write_list(const List& items) {
    out_ += '[';
    ++level_;
    bool first = true;
    for (const Value& item : items) {
      separate(first);
      write(item);
    }
    --level_;
    if (!first) line();
    out_ += ']';
  }
  void write_dict(const DictBox& box) {
    std::vector<const std::pair<Value, Value>*> order;
    for (const auto& item : box.items) order.push_back(&item);
    if (style_.sort_keys)
      std::ranges::stable_sort(
          order, [&](const auto* a, const auto* b) { return less(a->first, b->first, meter_); });
    out_ += '{';
    ++level_;
    bool first = true;
    for (const auto* item : order) {
      separate(first);
      out_ += json_string(key_text(item->first), style_.ascii) + style_.key_separator;
      write(item->second);
    }
    --level_;
    if (!first) line();
    out_ += '}';
  }
  std::string key_text(const Value& key) {
    if (key.is_string()) return key.text();
    if (key.is(Kind::kNone)) return "null";
    if (key.is(Kind::kBool)) return key.integer() ? "true" : "false";
    if (key.is_number()) return repr(key, meter_);
    stop(fmt::format("keys must be str, int, float, bool or None, not {}", type_name(key)));
  }

  const JsonStyle& style_;
  Meter& meter_;
  int level_ = 0;
};

}  // namespace

std::string dump_json(const Value& v, const JsonStyle& style, Meter& meter) {
  JsonWriter writer(style, meter);
  writer.write(v);
  return std::move(writer.out_);
}

namespace {
Value converted(const Json& json, int depth) {
  if (depth > 128) stop("a variable is nested too deep");
  switch (json.type()) {
    case Json::value_t::boolean:
      return json.get<bool>();
    case Json::value_t::number_integer:
      return json.get<std::int64_t>();
    case Json::value_t::number_unsigned: {
      const auto v = json.get<std::uint64_t>();
      if (v > INT64_MAX) return static_cast<double>(v);
      return static_cast<std::int64_t>(v);
    }
    case Json::value_t::number_float:
      return json.get<double>();
    case Json::value_t::string:
      return json.get_ref<const std::string&>();
    case Json::value_t::array: {
      List list;
      for (const Json& item : json) list.push_back(converted(item, depth + 1));
      return Value::list(std::move(list));
    }
    case Json::value_t::object: {
      DictBox box;  // a Json object has no key twice
      for (const auto& [key, item] : json.items())
        box.items.emplace_back(key, converted(item, depth + 1));
      return Value::dict(std::move(box));
    }
    default:
      return Value::none();
  }
}
}  // namespace

Value from_json(const Json& json) {
  return converted(json, 0);
}

std::size_t char_bytes(std::string_view s, std::size_t at) {
  utf8proc_int32_t code = 0;
  const auto n = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(s.data()) + at,
                                  static_cast<utf8proc_ssize_t>(s.size() - at), &code);
  return n > 0 ? static_cast<std::size_t>(n) : 1;
}
std::int64_t char_count(std::string_view s) {
  std::int64_t n = 0;
  for (std::size_t i = 0; i < s.size(); i += char_bytes(s, i)) ++n;
  return n;
}
std::vector<std::string_view> characters(std::string_view s) {
  std::vector<std::string_view> out;
  for (std::size_t i = 0; i < s.size();) {
    const std::size_t n = char_bytes(s, i);
    out.push_back(s.substr(i, n));
    i += n;
  }
  return out;
}
std::int32_t code_point(std::string_view character) {
  utf8proc_int32_t code = -1;
  utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(character.data()),
                   static_cast<utf8proc_ssize_t>(character.size()), &code);
  return code;
}
void append_utf8(std::string& out, std::uint32_t code) {
  utf8proc_uint8_t buffer[4];
  if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) code = 0xFFFD;
  const auto n = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code), buffer);
  out.append(reinterpret_cast<const char*>(buffer), static_cast<std::size_t>(n));
}
bool is_space(std::string_view character) {
  const std::int32_t c = code_point(character);
  if (c < 0) return false;
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x1f);
  if (c == 0x85) return true;
  const auto category = utf8proc_category(c);
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}
std::string_view strip(std::string_view s, bool left, bool right) {
  while (left && !s.empty()) {
    const std::size_t n = char_bytes(s, 0);
    if (!is_space(s.substr(0, n))) break;
    s.remove_prefix(n);
  }
  while (right && !s.empty()) {
    std::size_t n = 1;
    while (n < 4 && n < s.size() && (static_cast<unsigned char>(s[s.size() - n]) & 0xC0) == 0x80)
      ++n;
    if (!is_space(s.substr(s.size() - n))) break;
    s.remove_suffix(n);
  }
  return s;
}
std::string escaped_html(std::string_view s) {
  std::string out;
  for (char c : s) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}
std::string change_case(std::string_view s, bool upper) {
  std::string out;
  for (std::string_view c : characters(s)) {
    const std::int32_t code = code_point(c);
    if (code < 0)
      out += c;
    else if (upper && code == 0xDF)
      out += "SS";
    else
      append_utf8(
          out, static_cast<std::uint32_t>(upper ? utf8proc_toupper(code) : utf8proc_tolower(code)));
  }
  return out;
}

}  // namespace tack::jinja
