// Methods of Python's str and dict, and access to items and attributes.
#include <algorithm>
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

Value stripped(const Value& self, Arguments& a, bool left, bool right) {
  const std::string& s = self.text();
  a.meter.take(s.size());
  if (absent(a.find(0, "chars"))) return strip(s, left, right);
  const std::string& drop = text_argument(a, 0, "chars");
  return strip(s, left, right, [&](std::string_view c) {
    a.meter.scan(drop.size());
    return drop.find(c) != drop.npos;
  });
}

List split_at_spaces(std::string_view s, std::int64_t most) {
  List out;
  for (s = strip(s, true, most < 0); !s.empty(); s = strip(s, true, false)) {
    std::size_t n = 0;
    if (most >= 0 && static_cast<std::int64_t>(out.size()) == most) n = s.size();
    while (n < s.size()) {
      const std::size_t bytes = char_bytes(s, n);
      if (is_space(s.substr(n, bytes))) break;
      n += bytes;
    }
    out.emplace_back(s.substr(0, n));
    s.remove_prefix(n);
  }
  return out;
}

Value split(const Value& self, Arguments& a) {
  std::string_view s = self.text();
  a.meter.take(s.size() * 8);
  const std::int64_t most = whole(a.get(1, "maxsplit", std::int64_t{-1}));
  if (absent(a.find(0, "sep"))) return Value::list(split_at_spaces(s, most));
  const std::string& by = text_argument(a, 0, "sep");
  if (by.empty()) stop("empty separator");
  List out;
  std::size_t at = find_in(s, by, a.meter);
  for (; at != s.npos && static_cast<std::int64_t>(out.size()) != most; at = s.find(by)) {
    a.meter.take(sizeof(Value));
    out.emplace_back(s.substr(0, at));
    s.remove_prefix(at + by.size());
  }
  out.emplace_back(s);
  return Value::list(std::move(out));
}

Value split_lines(const Value& self, Arguments& a) {
  const std::string& s = self.text();
  a.meter.take(s.size() * 8);
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
      out.emplace_back(std::string_view(s).substr(begin, i - begin));
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
    const auto put = [&] {
      a.meter.take(to.size());
      if (left != 0) out += to, --left;
    };
    put();
    for (std::string_view c : Characters(s)) {
      out += c;
      put();
    }
    return out;
  }
  std::size_t begin = 0, at = find_in(s, from, a.meter);
  for (; left != 0 && at != s.npos; --left, at = s.find(from, begin)) {
    a.meter.take(to.size());
    out.append(s, begin, at - begin).append(to);
    begin = at + from.size();
  }
  return out.append(s, begin);
}

bool affixed(std::string_view s, const Value& affix, bool front, Meter& meter) {
  meter.step();
  if (affix.is(Kind::kTuple))
    return std::ranges::any_of(affix.items(),
                               [&](const Value& one) { return affixed(s, one, front, meter); });
  if (!affix.is_string()) stop(fmt::format("an affix must be str, not {}", type_name(affix)));
  meter.scan(affix.text().size());
  return front ? s.starts_with(affix.text()) : s.ends_with(affix.text());
}
Value without_affix(const Value& self, Arguments& a, bool front) {
  const std::string_view s = self.text();
  const char* const name = front ? "prefix" : "suffix";
  const std::size_t n = text_argument(a, 0, name).size();
  a.meter.take(s.size());
  if (!affixed(s, a.need(0, name), front, a.meter)) return self;
  return front ? s.substr(n) : s.substr(0, s.size() - n);
}

Value found(const Value& self, Arguments& a) {
  const std::string &s = self.text(), &what = text_argument(a, 0, "sub");
  if (a.values.size() > 1) stop("find with a range is not supported");
  const std::size_t at = find_in(s, what, a.meter);
  if (at == s.npos) return std::int64_t{-1};
  return char_count(std::string_view(s).substr(0, at));
}

// Python's str.title: letters after a letter are small.
Value titled(const Value& self, Arguments& a) {
  a.meter.take(self.text().size() * 8);
  std::string out;
  bool inside = false;
  for (std::string_view c : Characters(self.text())) {
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

// '{}: {}'.format(a, b); nothing between the braces.
Value formatted(const Value& self, Arguments& a) {
  const std::string& s = self.text();
  std::string out;
  std::size_t used = 0;
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (s[i] != '{' && s[i] != '}') {
      out += s[i];
      continue;
    }
    const std::string_view two = std::string_view(s).substr(i++, 2);
    if (two != "{}" && two != "{{" && two != "}}") stop("format: only '{}' is supported");
    if (two == "{}" && used == a.values.size()) stop("format: more '{}' than arguments");
    out += two == "{}" ? str(a.values[used++], a.meter) : std::string(two.substr(1));
  }
  a.meter.take(out.size());
  return out;
}

const std::map<std::string_view, Method>& string_methods() {
  static const std::map<std::string_view, Method> methods = {
      {"strip", [](const Value& s, Arguments& a) { return stripped(s, a, true, true); }},
      {"lstrip", [](const Value& s, Arguments& a) { return stripped(s, a, true, false); }},
      {"rstrip", [](const Value& s, Arguments& a) { return stripped(s, a, false, true); }},
      {"split", split},
      {"splitlines", split_lines},
      {"replace", replace},
      {"title", titled},
      {"capitalize", capitalized},
      {"join", joined},
      {"format", formatted},
      {"find", found},
      {"startswith",
       [](const Value& s, Arguments& a) -> Value {
         return affixed(s.text(), a.need(0, "prefix"), true, a.meter);
       }},
      {"endswith",
       [](const Value& s, Arguments& a) -> Value {
         return affixed(s.text(), a.need(0, "suffix"), false, a.meter);
       }},
      {"removeprefix", [](const Value& s, Arguments& a) { return without_affix(s, a, true); }},
      {"removesuffix", [](const Value& s, Arguments& a) { return without_affix(s, a, false); }},
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
  };
  return methods;
}

}  // namespace

bool find_method(const Value& self, std::string_view name, Value& out) {
  if (!self.is_string() && !self.is_dict()) return false;
  const auto& methods = self.is_string() ? string_methods() : dict_methods();
  const auto it = methods.find(name);
  if (it == methods.end()) return false;
  out = Value::function(std::string(name),
                        [self, method = it->second](Arguments& a) { return method(self, a); });
  return true;
}

Value get_attribute(const Value& self, std::string_view name, Meter& meter) {
  meter.step();
  must_be_defined(self);
  Value out;
  if (find_method(self, name, out)) return out;
  if (self.is_dict() || self.is(Kind::kNamespace))
    if (const Value* v = self.box().find(name)) return *v;
  return Value::undefined(fmt::format("'{} object' has no attribute '{}'", type_name(self), name));
}

Value get_item(const Value& self, const Value& key, Meter& meter) {
  meter.step();
  must_be_defined(self);
  if (key.is_integer() && self.is_sequence()) {
    const auto n = static_cast<std::int64_t>(self.items().size());
    const std::int64_t at = key.integer() < 0 ? key.integer() + n : key.integer();
    if (at >= 0 && at < n) return self.items()[static_cast<std::size_t>(at)];
  } else if (key.is_integer() && self.is_string()) {
    meter.scan(self.text().size() * 4);
    const std::int64_t n = char_count(self.text());
    std::int64_t at = key.integer() < 0 ? key.integer() + n : key.integer();
    if (at >= 0 && at < n) {
      std::size_t byte = 0;
      while (at-- > 0) byte += char_bytes(self.text(), byte);
      return std::string_view(self.text()).substr(byte, char_bytes(self.text(), byte));
    }
  } else if (self.is_dict()) {
    meter.step(static_cast<std::int64_t>(self.box().items.size() / 16));
    if (key.is_string()) meter.scan(key.text().size() * self.box().items.size());
    if (const Value* v = self.box().find(key)) return *v;
  }
  if (key.is_string()) return get_attribute(self, key.text(), meter);
  return Value::undefined(
      fmt::format("'{} object' has no element {}", type_name(self), repr(key, meter)));
}

Value call(const Value& callee, Arguments& arguments) {
  const Deeper deeper(arguments.meter);
  arguments.meter.step();
  must_be_defined(callee);
  if (!callee.is(Kind::kFunction))
    stop(fmt::format("'{}' object is not callable", type_name(callee)));
  return callee.callee().call(arguments);
}

}  // namespace tack::jinja
