// Methods of Python's str, list and dict, and access to items and attributes.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>

#include "text/template_value.h"

namespace tack::jinja {
namespace {

using Method = Value (*)(const Value& self, Arguments& a);

const std::string& text_argument(const Arguments& a, std::size_t at, std::string_view name) {
  const Value& v = a.need(at, name);
  if (!v.is_string()) stop(fmt::format("'{}' must be str, not {}", name, type_name(v)));
  return v.text();
}
bool absent(const Value* v) {
  return !v || v->is(Kind::kNone);
}
std::int64_t whole(const Value& v) {
  if (!v.is_integer()) stop(fmt::format("'{}' object is not an integer", type_name(v)));
  return v.integer();
}

Value stripped(const Value& self, Arguments& a, bool left, bool right) {
  const std::string& s = self.text();
  a.meter.take(s.size());
  if (absent(a.find(0, "chars"))) return strip(s, left, right);
  const std::string& drop = text_argument(a, 0, "chars");
  const auto set = characters(drop);
  const auto all = characters(s);
  std::size_t begin = 0, end = all.size();
  a.meter.step(static_cast<std::int64_t>(all.size() / 64 * set.size()));
  const auto drops = [&](std::string_view c) { return std::ranges::find(set, c) != set.end(); };
  while (left && begin < end && drops(all[begin])) ++begin;
  while (right && end > begin && drops(all[end - 1])) --end;
  std::string out;
  for (std::size_t i = begin; i < end; ++i) out += all[i];
  return out;
}

List split_at_spaces(std::string_view s, std::int64_t most, bool from_right) {
  List out;
  s = strip(s, !from_right || most < 0, from_right || most < 0);
  const auto all = characters(s);
  if (!from_right) {
    std::size_t i = 0, byte = 0;
    while (i < all.size()) {
      while (i < all.size() && is_space(all[i])) byte += all[i++].size();
      if (i == all.size()) break;
      if (most >= 0 && static_cast<std::int64_t>(out.size()) == most) {
        out.emplace_back(s.substr(byte));
        break;
      }
      const std::size_t begin = byte;
      while (i < all.size() && !is_space(all[i])) byte += all[i++].size();
      out.emplace_back(s.substr(begin, byte - begin));
    }
    return out;
  }
  std::size_t i = all.size(), byte = s.size();
  while (i > 0) {
    while (i > 0 && is_space(all[i - 1])) byte -= all[--i].size();
    if (i == 0) break;
    if (most >= 0 && static_cast<std::int64_t>(out.size()) == most) {
      out.emplace_back(s.substr(0, byte));
      break;
    }
    const std::size_t end = byte;
    while (i > 0 && !is_space(all[i - 1])) byte -= all[--i].size();
    out.emplace_back(s.substr(byte, end - byte));
  }
  std::ranges::reverse(out);
  return out;
}

Value split(const Value& self, Arguments& a, bool from_right) {
  std::string_view s = self.text();
  a.meter.take(s.size() * 8);
  const std::int64_t most = whole(a.get(1, "maxsplit", std::int64_t{-1}));
  if (absent(a.find(0, "sep"))) {
    // Only the spaces on the side where splitting begins go away with a limit.
    return Value::list(split_at_spaces(s, most, from_right));
  }
  const std::string& by = text_argument(a, 0, "sep");
  if (by.empty()) stop("empty separator");
  List out;
  const auto more = [&] { return most < 0 || static_cast<std::int64_t>(out.size()) < most; };
  while (more()) {
    const std::size_t at = from_right ? s.rfind(by) : s.find(by);
    if (at == s.npos) break;
    a.meter.take(sizeof(Value));
    out.emplace_back(from_right ? s.substr(at + by.size()) : s.substr(0, at));
    s = from_right ? s.substr(0, at) : s.substr(at + by.size());
  }
  out.emplace_back(s);
  if (from_right) std::ranges::reverse(out);
  return Value::list(std::move(out));
}

Value split_lines(const Value& self, Arguments& a) {
  const std::string& s = self.text();
  a.meter.take(s.size() * 8);
  const bool keep = truth(a.get(0, "keepends", false));
  List out;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < s.size();) {
    const std::size_t n = char_bytes(s, i);
    const std::int32_t c = code_point(std::string_view(s).substr(i, n));
    const bool ends =
        (c >= 10 && c <= 13) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
    std::size_t after = i + n;
    if (c == '\r' && after < s.size() && s[after] == '\n') ++after;
    if (ends) {
      out.emplace_back(std::string_view(s).substr(begin, (keep ? after : i) - begin));
      begin = after;
    }
    i = after;
  }
  if (begin < s.size()) out.emplace_back(std::string_view(s).substr(begin));
  return Value::list(std::move(out));
}

Value replace(const Value& self, Arguments& a) {
  const std::string& s = self.text();
  const std::string &from = text_argument(a, 0, "old"), &to = text_argument(a, 1, "new");
  std::int64_t left = whole(a.get(2, "count", std::int64_t{-1}));
  std::string out;
  a.meter.take(s.size());
  if (from.empty()) {
    const auto all = characters(s);
    for (std::size_t i = 0; i <= all.size(); ++i) {
      if (left != 0) {
        a.meter.take(to.size());
        out += to;
        --left;
      }
      if (i < all.size()) out += all[i];
    }
    return out;
  }
  std::size_t begin = 0;
  for (std::size_t at; left != 0 && (at = s.find(from, begin)) != s.npos; --left) {
    a.meter.take(to.size());
    out.append(s, begin, at - begin).append(to);
    begin = at + from.size();
  }
  return out.append(s, begin);
}

bool affixed(std::string_view s, const Value& affix, bool front) {
  if (affix.is(Kind::kTuple))
    return std::ranges::any_of(affix.items(),
                               [&](const Value& one) { return affixed(s, one, front); });
  if (!affix.is_string()) stop(fmt::format("an affix must be str, not {}", type_name(affix)));
  return front ? s.starts_with(affix.text()) : s.ends_with(affix.text());
}

Value found(const Value& self, Arguments& a, bool last) {
  const std::string &s = self.text(), &what = text_argument(a, 0, "sub");
  if (a.values.size() > 1) stop("find with a range is not supported");
  const std::size_t at = last ? s.rfind(what) : s.find(what);
  if (at == s.npos) return std::int64_t{-1};
  return char_count(std::string_view(s).substr(0, at));
}

// Python's str.title: letters after a letter are small.
Value titled(const Value& self, Arguments& a) {
  a.meter.take(self.text().size());
  std::string out;
  bool inside = false;
  for (std::string_view c : characters(self.text())) {
    const std::string up = change_case(c, true), low = change_case(c, false);
    out += inside ? low : up;
    inside = up != low;
  }
  return out;
}
Value capitalized(const Value& self, Arguments& a) {
  const std::string& s = self.text();
  a.meter.take(s.size());
  if (s.empty()) return self;
  const std::size_t n = char_bytes(s, 0);
  return change_case(std::string_view(s).substr(0, n), true) +
         change_case(std::string_view(s).substr(n), false);
}

Value joined(const Value& self, Arguments& a) {
  std::string out;
  bool first = true;
  for (const Value& v : iterate(a.need(0, "iterable"), a.meter)) {
    if (!v.is_string()) stop(fmt::format("join: expected str instance, {} found", type_name(v)));
    a.meter.take(self.text().size() + v.text().size());
    if (!std::exchange(first, false)) out += self.text();
    out += v.text();
  }
  return out;
}

// True when there are characters and `is` holds for all.
template <class Is>
Value every(const Value& self, Is is) {
  const auto all = characters(self.text());
  return !all.empty() && std::ranges::all_of(all, is);
}
bool letter(std::string_view c) {
  return static_cast<unsigned char>(c[0]) >= 0x80 ? change_case(c, true) != change_case(c, false)
                                                  : std::isalpha(static_cast<unsigned char>(c[0]));
}
bool digit(std::string_view c) {
  return c.size() == 1 && c[0] >= '0' && c[0] <= '9';
}
Value cased(const Value& self, bool upper) {
  const std::string& s = self.text();
  return change_case(s, upper) == s && change_case(s, !upper) != s;
}

const std::map<std::string_view, Method>& string_methods() {
  static const std::map<std::string_view, Method> methods = {
      {"strip", [](const Value& s, Arguments& a) { return stripped(s, a, true, true); }},
      {"lstrip", [](const Value& s, Arguments& a) { return stripped(s, a, true, false); }},
      {"rstrip", [](const Value& s, Arguments& a) { return stripped(s, a, false, true); }},
      {"split", [](const Value& s, Arguments& a) { return split(s, a, false); }},
      {"rsplit", [](const Value& s, Arguments& a) { return split(s, a, true); }},
      {"splitlines", split_lines},
      {"replace", replace},
      {"title", titled},
      {"capitalize", capitalized},
      {"join", joined},
      {"find", [](const Value& s, Arguments& a) { return found(s, a, false); }},
      {"rfind", [](const Value& s, Arguments& a) { return found(s, a, true); }},
      {"index",
       [](const Value& s, Arguments& a) {
         Value at = found(s, a, false);
         if (at.integer() < 0) stop("substring not found");
         return at;
       }},
      {"count",
       [](const Value& s, Arguments& a) -> Value {
         const std::string& what = text_argument(a, 0, "sub");
         if (what.empty()) return char_count(s.text()) + 1;
         std::int64_t n = 0;
         for (std::size_t at = 0; (at = s.text().find(what, at)) != std::string::npos;
              at += what.size())
           ++n;
         return n;
       }},
      {"startswith",
       [](const Value& s, Arguments& a) -> Value {
         return affixed(s.text(), a.need(0, ""), true);
       }},
      {"endswith",
       [](const Value& s, Arguments& a) -> Value {
         return affixed(s.text(), a.need(0, ""), false);
       }},
      {"removeprefix",
       [](const Value& s, Arguments& a) -> Value {
         const std::string& affix = text_argument(a, 0, "prefix");
         return s.text().starts_with(affix) ? s.text().substr(affix.size()) : s.text();
       }},
      {"removesuffix",
       [](const Value& s, Arguments& a) -> Value {
         const std::string& affix = text_argument(a, 0, "suffix");
         return s.text().ends_with(affix) ? s.text().substr(0, s.text().size() - affix.size())
                                          : s.text();
       }},
      {"upper",
       [](const Value& s, Arguments& a) -> Value {
         a.meter.take(s.text().size());
         return change_case(s.text(), true);
       }},
      {"lower",
       [](const Value& s, Arguments& a) -> Value {
         a.meter.take(s.text().size());
         return change_case(s.text(), false);
       }},
      {"isspace", [](const Value& s, Arguments&) { return every(s, is_space); }},
      {"isdigit", [](const Value& s, Arguments&) { return every(s, digit); }},
      {"isalpha", [](const Value& s, Arguments&) { return every(s, letter); }},
      {"isalnum",
       [](const Value& s, Arguments&) {
         return every(s, [](std::string_view c) { return letter(c) || digit(c); });
       }},
      {"isupper", [](const Value& s, Arguments&) { return cased(s, true); }},
      {"islower", [](const Value& s, Arguments&) { return cased(s, false); }},
  };
  return methods;
}

[[noreturn]] Value immutable(const Value&, Arguments&) {
  stop("templates cannot change lists and dicts");
}

const std::map<std::string_view, Method>& list_methods() {
  static const std::map<std::string_view, Method> methods = {
      {"index",
       [](const Value& s, Arguments& a) -> Value {
         std::int64_t at = 0;
         for (const Value& v : s.items()) {
           if (equal(v, a.need(0, "value"), a.meter)) return at;
           ++at;
         }
         stop("the value is not in the list");
       }},
      {"count",
       [](const Value& s, Arguments& a) -> Value {
         std::int64_t n = 0;
         for (const Value& v : s.items()) n += equal(v, a.need(0, "value"), a.meter);
         return n;
       }},
      {"copy", [](const Value& s, Arguments&) { return s; }},
      {"append", immutable},
      {"extend", immutable},
      {"insert", immutable},
      {"pop", immutable},
      {"remove", immutable},
      {"clear", immutable},
      {"reverse", immutable},
      {"sort", immutable},
  };
  return methods;
}

Value pairs_of(const Value& self, Arguments& a, bool keys, bool values) {
  List out;
  a.meter.take(self.box().items.size() * sizeof(Value) * 2);
  for (const auto& [key, item] : self.box().items)
    out.push_back(keys && values ? Value::list({key, item}, Kind::kTuple) : keys ? key : item);
  return Value::list(std::move(out));
}

const std::map<std::string_view, Method>& dict_methods() {
  static const std::map<std::string_view, Method> methods = {
      {"get",
       [](const Value& s, Arguments& a) -> Value {
         const Value* v = s.box().find(a.need(0, "key"));
         return v ? *v : a.get(1, "default", Value::none());
       }},
      {"items", [](const Value& s, Arguments& a) { return pairs_of(s, a, true, true); }},
      {"keys", [](const Value& s, Arguments& a) { return pairs_of(s, a, true, false); }},
      {"values", [](const Value& s, Arguments& a) { return pairs_of(s, a, false, true); }},
      {"copy", [](const Value& s, Arguments&) { return s; }},
      {"pop", immutable},
      {"popitem", immutable},
      {"update", immutable},
      {"setdefault", immutable},
      {"clear", immutable},
  };
  return methods;
}

// What comes out of markup is markup, and what is put into it is escaped.
Value of_markup(const Value& self, Method method, Arguments& a) {
  if (method == replace && a.values.size() > 1 && a.values[1].is_string() && !a.values[1].markup)
    a.values[1] = Value::marked_up(escaped_html(a.values[1].text()));
  if (method == joined && !a.values.empty()) {
    List items = iterate(a.values[0], a.meter);
    for (Value& v : items)
      if (v.is_string() && !v.markup) v = Value::marked_up(escaped_html(v.text()));
    a.values[0] = Value::list(std::move(items));
  }
  Value out = method(self, a);
  if (out.is_string()) out.markup = true;
  if (!out.is_sequence()) return out;
  List items = out.items();
  for (Value& v : items) v.markup = v.is_string();
  return Value::list(std::move(items), out.kind);
}

[[noreturn]] void undefined_used(const Value& v) {
  stop(v.data.index() ? v.text() : "a value is undefined");
}

}  // namespace

namespace {

// One conversion of a format, from its letter: "%.2f" of 1.5.
std::string converted(char letter, int precision, const Value& v, Meter& meter) {
  if (letter == 's') return str(v, meter);
  if (letter == 'r') return repr(v, meter);
  if (letter != 'd' && letter != 'i' && letter != 'f')
    stop(fmt::format("format '%{}' is not supported", letter));
  if (!v.is_number()) stop(fmt::format("%{} format: a number is required", letter));
  if (letter == 'f') return fmt::format("{:.{}f}", v.number(), precision);
  return v.is_integer() ? std::to_string(v.integer())
                        : fmt::format("{:.0f}", std::trunc(v.number()));
}

}  // namespace

std::string format_text(const std::string& format, const Value& values, Meter& meter) {
  const bool tuple = values.is(Kind::kTuple);
  const std::size_t given = tuple ? values.items().size() : 1;
  std::string out;
  std::size_t used = 0;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    if (++i >= format.size()) stop("incomplete format");
    if (format[i] == '%') {
      out += '%';
      continue;
    }
    Value v;
    const bool by_key = format[i] == '(';
    if (by_key) {
      const std::size_t end = format.find(')', i);
      if (end == format.npos || end + 1 >= format.size()) stop("incomplete format key");
      if (!values.is_dict()) stop("format requires a mapping");
      const Value* named = values.box().find(std::string_view(format).substr(i + 1, end - i - 1));
      if (!named) stop("a key of the format is missing");
      v = *named;
      i = end + 1;
    }
    int precision = 6;
    if (i + 2 < format.size() && format[i] == '.' &&
        digit(std::string_view(format).substr(i + 1, 1))) {
      precision = format[i + 1] - '0';
      i += 2;
    }
    if (!by_key) {
      if (used >= given) stop("not enough arguments for format string");
      v = tuple ? values.items()[used] : values;
      ++used;
    }
    out += converted(format[i], precision, v, meter);
  }
  // Python forgives what it could index.
  if (used < given && !values.is_dict() && !values.is(Kind::kList) && !values.is(Kind::kUndefined))
    stop("not all arguments converted during string formatting");
  meter.take(out.size());
  return out;
}

bool find_method(const Value& self, std::string_view name, Value& out) {
  const auto* methods = self.is_string()     ? &string_methods()
                        : self.is_dict()     ? &dict_methods()
                        : self.is_sequence() ? &list_methods()
                                             : nullptr;
  if (!methods) return false;
  const auto it = methods->find(name);
  if (it == methods->end()) return false;
  out = Value::function(std::string(name), [self, method = it->second](Arguments& a) {
    return self.markup ? of_markup(self, method, a) : method(self, a);
  });
  return true;
}

Value get_attribute(const Value& self, std::string_view name, Meter& meter) {
  meter.step();
  if (self.is(Kind::kUndefined)) undefined_used(self);
  Value out;
  if (find_method(self, name, out)) return out;
  if (self.is_dict() || self.is(Kind::kNamespace))
    if (const Value* v = self.box().find(name)) return *v;
  if (self.is(Kind::kFunction) && name == "name") return self.callee().name;
  return Value::undefined(fmt::format("'{} object' has no attribute '{}'", type_name(self), name));
}

Value get_item(const Value& self, const Value& key, Meter& meter) {
  meter.step();
  if (self.is(Kind::kUndefined)) undefined_used(self);
  if (key.is_integer() && self.is_sequence()) {
    const auto n = static_cast<std::int64_t>(self.items().size());
    const std::int64_t at = key.integer() < 0 ? key.integer() + n : key.integer();
    if (at >= 0 && at < n) return self.items()[static_cast<std::size_t>(at)];
  } else if (key.is_integer() && self.is_string()) {
    meter.step(static_cast<std::int64_t>(self.text().size() / 16));
    const std::int64_t n = char_count(self.text());
    std::int64_t at = key.integer() < 0 ? key.integer() + n : key.integer();
    if (at >= 0 && at < n) {
      std::size_t byte = 0;
      while (at-- > 0) byte += char_bytes(self.text(), byte);
      Value out = std::string_view(self.text()).substr(byte, char_bytes(self.text(), byte));
      out.markup = self.markup;
      return out;
    }
  } else if (self.is_dict()) {
    if (const Value* v = self.box().find(key)) return *v;
  }
  if (key.is_string()) return get_attribute(self, key.text(), meter);
  return Value::undefined(
      fmt::format("'{} object' has no element {}", type_name(self), repr(key, meter)));
}

Value call(const Value& callee, Arguments& arguments) {
  const Deeper deeper(arguments.meter);
  arguments.meter.step();
  if (callee.is(Kind::kUndefined)) undefined_used(callee);
  if (!callee.is(Kind::kFunction))
    stop(fmt::format("'{}' object is not callable", type_name(callee)));
  return callee.callee().call(arguments);
}

}  // namespace tack::jinja
