// Filters and tests: those of Jinja2 that chat templates use.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "text/template_value.h"

namespace tack::jinja {
namespace {

using Filter = Value (*)(const Value& v, Arguments& a);
using Test = bool (*)(const Value& v, Arguments& a);

// A method of str, on what `v` prints as.
Value method(const char* name, const Value& v, Arguments& a) {
  Value text = v.is_string() ? v : Value(str(v, a.meter)), out;
  find_method(text, name, out);
  return call(out, a);
}

// attribute='a.b.0' of each item.
Value by_path(const Value& item, const Value& path, Meter& meter) {
  if (!path.is_string()) return get_item(item, path, meter);
  Value out = item;
  std::string_view rest = path.text();
  for (;;) {
    const std::size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
    const bool digits = !part.empty() && error == std::errc() && end == part.data() + part.size();
    out = get_item(out, digits ? Value(number) : Value(part), meter);
    if (dot == rest.npos) return out;
    rest.remove_prefix(dot + 1);
  }
}
Value key_of(const Value& item, const Value* attribute, bool ignore_case, Meter& meter) {
  Value out = attribute && !attribute->is(Kind::kNone) ? by_path(item, *attribute, meter) : item;
  if (!ignore_case || !out.is_string()) return out;
  meter.take(out.text().size());
  return change_case(out.text(), false);
}

Value in_order(std::vector<std::pair<Value, Value>> keyed, bool reverse, Meter& meter) {
  std::ranges::stable_sort(keyed, [&](const auto& x, const auto& y) {
    if (equal(x.first, y.first, meter)) return false;  // None and undefined need no order then
    return reverse ? less(y.first, x.first, meter) : less(x.first, y.first, meter);
  });
  List out;
  for (auto& item : keyed) out.push_back(std::move(item.second));
  return Value::list(std::move(out));
}

Value sorted(const Value& v, Arguments& a) {
  const bool reverse = truth(a.get(0, "reverse", false));
  const bool ignore_case = !truth(a.get(1, "case_sensitive", false));
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : iterate(v, a.meter))
    keyed.emplace_back(key_of(item, a.find(2, "attribute"), ignore_case, a.meter), item);
  return in_order(std::move(keyed), reverse, a.meter);
}

Value dict_sorted(const Value& v, Arguments& a) {
  if (!v.is_dict()) stop(fmt::format("dictsort needs a dict, not {}", type_name(v)));
  const bool ignore_case = !truth(a.get(0, "case_sensitive", false));
  const Value by = a.get(1, "by", "key");
  const bool reverse = truth(a.get(2, "reverse", false));
  if (!by.is_string() || (by.text() != "key" && by.text() != "value"))
    stop("dictsort: 'by' is 'key' or 'value'");
  const bool keys = by.text() == "key";
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& [key, item] : v.box().items)
    keyed.emplace_back(key_of(keys ? key : item, nullptr, ignore_case, a.meter),
                       Value::list({key, item}, Kind::kTuple));
  return in_order(std::move(keyed), reverse, a.meter);
}

Value unique(const Value& v, Arguments& a) {
  const bool ignore_case = !truth(a.get(0, "case_sensitive", false));
  List seen, out;
  for (const Value& item : iterate(v, a.meter)) {
    Value key = key_of(item, a.find(1, "attribute"), ignore_case, a.meter);
    must_be_hashable(key);
    if (std::ranges::any_of(seen, [&](const Value& s) { return equal(s, key, a.meter); })) continue;
    seen.push_back(std::move(key));
    out.push_back(item);
  }
  return Value::list(std::move(out));
}

Value extreme(const Value& v, Arguments& a, bool most) {
  const bool ignore_case = !truth(a.get(0, "case_sensitive", false));
  const List items = iterate(v, a.meter);
  if (items.empty()) return Value::undefined("No aggregated item, sequence was empty.");
  std::size_t best = 0;
  Value best_key = key_of(items[0], a.find(1, "attribute"), ignore_case, a.meter);
  for (std::size_t i = 1; i < items.size(); ++i) {
    Value key = key_of(items[i], a.find(1, "attribute"), ignore_case, a.meter);
    if (most ? less(best_key, key, a.meter) : less(key, best_key, a.meter)) {
      best = i;
      best_key = std::move(key);
    }
  }
  return items[best];
}

// map and select take anything false for empty.
List loosely(const Value& v, Meter& meter) {
  return truth(v) ? iterate(v, meter) : List();
}

Value mapped(const Value& v, Arguments& a) {
  List out;
  const List items = loosely(v, a.meter);
  if (a.values.empty()) {
    const Value attribute = a.need(0, "attribute");
    const Value* fallback = a.find(1, "default");
    for (const Value& item : items) {
      Value one = by_path(item, attribute, a.meter);
      out.push_back(fallback && one.is(Kind::kUndefined) ? *fallback : std::move(one));
    }
    return Value::list(std::move(out));
  }
  if (!a.values[0].is_string()) stop("map needs the name of a filter");
  for (const Value& item : items) {
    Arguments rest{a.meter, List(a.values.begin() + 1, a.values.end()), a.named};
    out.push_back(apply_filter(a.values[0].text(), item, rest));
  }
  return Value::list(std::move(out));
}

// select, reject, selectattr, rejectattr: the test's name stands after the attribute.
Value selected(const Value& v, Arguments& a, bool by_attribute, bool keep) {
  const std::size_t at = by_attribute ? 1 : 0;
  if (by_attribute && a.values.empty()) stop("missing the name of the attribute");
  const bool has_test = a.values.size() > at;
  if (has_test && !a.values[at].is_string()) stop("the name of a test must be a string");
  List out;
  for (const Value& item : loosely(v, a.meter)) {
    const Value one = by_attribute ? by_path(item, a.values[0], a.meter) : item;
    bool yes = false;
    if (has_test) {
      Arguments rest{a.meter, List(a.values.begin() + static_cast<long>(at) + 1, a.values.end()),
                     a.named};
      yes = apply_test(a.values[at].text(), one, rest);
    } else {
      yes = truth(one);
    }
    if (yes == keep) out.push_back(item);
  }
  return Value::list(std::move(out));
}

Value joined(const Value& v, Arguments& a) {
  const std::string between = str(a.get(0, "d", ""), a.meter);
  const Value* attribute = a.find(1, "attribute");
  std::string out;
  bool first = true;
  for (const Value& item : iterate(v, a.meter)) {
    if (!std::exchange(first, false)) out += between;
    a.meter.take(between.size());
    out += str(attribute ? by_path(item, *attribute, a.meter) : item, a.meter);
  }
  return out;
}

Value indented(const Value& v, Arguments& a) {
  const Value width = a.get(0, "width", std::int64_t{4});
  const bool first = truth(a.get(1, "first", false)), blank = truth(a.get(2, "blank", false));
  std::string by;
  if (width.is_string()) {
    by = width.text();
  } else {
    const std::int64_t n = std::max<std::int64_t>(whole(width), 0);
    a.meter.take(static_cast<std::size_t>(n));
    by.assign(static_cast<std::size_t>(n), ' ');
  }
  if (!v.is_string()) stop(fmt::format("indent needs a string, not {}", type_name(v)));
  Arguments none{a.meter, {}, {}};
  std::string out;
  const Value with_newline = v.text() + "\n";
  const Value lines = method("splitlines", with_newline, none);
  bool at_first = true;
  for (const Value& line : lines.items()) {
    const bool indent = at_first ? first : blank || !line.text().empty();
    if (!at_first) out += '\n';
    a.meter.take(by.size() + line.text().size() + 1);
    if (indent) out += by;
    out += line.text();
    at_first = false;
  }
  return out;
}

Value to_int(const Value& v, Arguments& a) {
  must_be_defined(v);
  const Value fallback = a.get(0, "default", std::int64_t{0});
  if (v.is_integer()) return v.integer();
  const auto truncated = [&](double d) {
    return std::abs(d) < 9e18 ? Value(static_cast<std::int64_t>(d)) : fallback;
  };
  if (v.is(Kind::kFloat)) return truncated(v.number());
  if (!v.is_string()) return fallback;
  std::string_view s = strip(v.text(), true, true);
  if (s.starts_with('+') && s.size() > 1 && s[1] != '-') s.remove_prefix(1);
  std::int64_t n = 0;
  double d = 0;
  const char* const end = s.data() + s.size();
  if (const auto read = std::from_chars(s.data(), end, n);
      read.ec == std::errc() && read.ptr == end)
    return n;
  if (const auto read = std::from_chars(s.data(), end, d);
      read.ec == std::errc() && read.ptr == end)
    return truncated(d);
  return fallback;
}

Value reversed(const Value& v, Arguments& a) {
  List items = iterate(v, a.meter);
  std::ranges::reverse(items);
  if (!v.is_string()) return Value::list(std::move(items));
  std::string out;
  for (const Value& c : items) out += c.text();
  return out;
}

Value safe(const Value& v, Arguments& a) {
  return Value::marked_up(str(v, a.meter));
}

Value json(const Value& v, Arguments& a) {
  JsonStyle style;
  style.ascii = truth(a.get(0, "ensure_ascii", false));
  if (const Value indent = a.get(1, "indent", Value::none()); !indent.is(Kind::kNone)) {
    style.indent = static_cast<int>(std::clamp<std::int64_t>(whole(indent), 0, 100));
    style.item_separator = ",";
  }
  if (const Value* separators = a.find(2, "separators");
      separators && !separators->is(Kind::kNone)) {
    const List pair = iterate(*separators, a.meter);
    if (pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string())
      stop("tojson: separators are two strings");
    style.item_separator = pair[0].text();
    style.key_separator = pair[1].text();
  }
  style.sort_keys = truth(a.get(3, "sort_keys", false));
  return dump_json(v, style, a.meter);
}

Value fallen_back(const Value& v, Arguments& a) {
  const bool missing = v.is(Kind::kUndefined) || (truth(a.get(1, "boolean", false)) && !truth(v));
  return missing ? a.get(0, "default_value", "") : v;
}

Value end_of(const Value& v, Arguments& a, bool last) {
  const List items = iterate(v, a.meter);
  if (items.empty()) return Value::undefined("No item, sequence was empty.");
  return last ? items.back() : items.front();
}

Value dict_items(const Value& v, Arguments& a) {
  if (v.is(Kind::kUndefined)) return Value::list({});
  Value out;
  if (!v.is_dict() || !find_method(v, "items", out))
    stop("Can only get item pairs from a mapping.");
  return call(out, a);
}

const std::map<std::string_view, Filter>& filters() {
  static const std::map<std::string_view, Filter> all = {
      {"trim", [](const Value& v, Arguments& a) { return method("strip", v, a); }},
      {"upper", [](const Value& v, Arguments& a) { return method("upper", v, a); }},
      {"lower", [](const Value& v, Arguments& a) { return method("lower", v, a); }},
      {"capitalize", [](const Value& v, Arguments& a) { return method("capitalize", v, a); }},
      {"replace", [](const Value& v, Arguments& a) { return method("replace", v, a); }},
      {"length", [](const Value& v, Arguments& a) -> Value { return length(v, a.meter); }},
      {"count", [](const Value& v, Arguments& a) -> Value { return length(v, a.meter); }},
      {"tojson", json},
      {"join", joined},
      {"default", fallen_back},
      {"d", fallen_back},
      {"first", [](const Value& v, Arguments& a) { return end_of(v, a, false); }},
      {"last", [](const Value& v, Arguments& a) { return end_of(v, a, true); }},
      {"list", [](const Value& v, Arguments& a) { return Value::list(iterate(v, a.meter)); }},
      {"map", mapped},
      {"select", [](const Value& v, Arguments& a) { return selected(v, a, false, true); }},
      {"reject", [](const Value& v, Arguments& a) { return selected(v, a, false, false); }},
      {"selectattr", [](const Value& v, Arguments& a) { return selected(v, a, true, true); }},
      {"rejectattr", [](const Value& v, Arguments& a) { return selected(v, a, true, false); }},
      {"sort", sorted},
      {"unique", unique},
      {"string", [](const Value& v, Arguments& a) { return v.is_string() ? v : str(v, a.meter); }},
      {"safe", safe},
      {"int", to_int},
      {"items", dict_items},
      {"dictsort", dict_sorted},
      {"indent", indented},
      {"min", [](const Value& v, Arguments& a) { return extreme(v, a, false); }},
      {"max", [](const Value& v, Arguments& a) { return extreme(v, a, true); }},
      {"reverse", reversed},
  };
  return all;
}

bool iterable(const Value& v, Arguments&) {
  return v.is_string() || v.is_sequence() || v.is_dict() || v.is(Kind::kUndefined);
}
template <bool (*compare)(const Value&, const Value&, Meter&)>
bool compared(const Value& v, Arguments& a) {
  return compare(v, a.need(0, "other"), a.meter);
}
bool unequal(const Value& a, const Value& b, Meter& meter) {
  return !equal(a, b, meter);
}
bool greater(const Value& a, const Value& b, Meter& meter) {
  return less(b, a, meter);
}
bool at_most(const Value& a, const Value& b, Meter& meter) {
  return less(a, b, meter) || equal(a, b, meter);
}
bool at_least(const Value& a, const Value& b, Meter& meter) {
  return at_most(b, a, meter);
}
bool inside(const Value& a, const Value& b, Meter& meter) {
  return contains(b, a, meter);
}
// Python's v % 2 == rest.
template <int rest>
bool halved(const Value& v, Arguments&) {
  if (!v.is(Kind::kFloat)) return (whole(v) & 1) == rest;
  return v.number() - 2 * std::floor(v.number() / 2) == rest;
}

const std::map<std::string_view, Test>& tests() {
  static const std::map<std::string_view, Test> all = {
      {"defined", [](const Value& v, Arguments&) { return !v.is(Kind::kUndefined); }},
      {"undefined", [](const Value& v, Arguments&) { return v.is(Kind::kUndefined); }},
      {"none", [](const Value& v, Arguments&) { return v.is(Kind::kNone); }},
      {"string", [](const Value& v, Arguments&) { return v.is_string(); }},
      {"mapping", [](const Value& v, Arguments&) { return v.is_dict(); }},
      {"iterable", iterable},
      {"sequence", iterable},
      {"number", [](const Value& v, Arguments&) { return v.is_number(); }},
      {"integer", [](const Value& v, Arguments&) { return v.is(Kind::kInt); }},
      {"float", [](const Value& v, Arguments&) { return v.is(Kind::kFloat); }},
      {"boolean", [](const Value& v, Arguments&) { return v.is(Kind::kBool); }},
      {"true", [](const Value& v, Arguments&) { return v.is(Kind::kBool) && truth(v); }},
      {"false", [](const Value& v, Arguments&) { return v.is(Kind::kBool) && !truth(v); }},
      {"odd", halved<1>},
      {"even", halved<0>},
      {"eq", compared<equal>},
      {"equalto", compared<equal>},
      {"ne", compared<unequal>},
      {"lt", compared<less>},
      {"gt", compared<greater>},
      {"le", compared<at_most>},
      {"ge", compared<at_least>},
      {"in", compared<inside>},
  };
  return all;
}

}  // namespace

Value apply_filter(const std::string& name, const Value& v, Arguments& arguments) {
  const Deeper deeper(arguments.meter);
  arguments.meter.step();
  const auto it = filters().find(name);
  if (it == filters().end()) stop(fmt::format("no filter named '{}'", name));
  return it->second(v, arguments);
}
bool apply_test(const std::string& name, const Value& v, Arguments& arguments) {
  const Deeper deeper(arguments.meter);
  arguments.meter.step();
  const auto it = tests().find(name);
  if (it == tests().end()) stop(fmt::format("no test named '{}'", name));
  return it->second(v, arguments);
}

}  // namespace tack::jinja
