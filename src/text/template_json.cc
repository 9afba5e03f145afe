// Values to JSON, as Python's json.dumps writes it, and from it.
#include <algorithm>
#include <cmath>

#include "text/template_value.h"

namespace tack::jinja {
namespace {

std::string json_string(std::string_view s, bool ascii) {
  static constexpr std::string_view kEscaped = "\"\\\n\r\t\b\f", kLetters = "\"\\nrtbf";
  std::string out = "\"";
  for (std::string_view c : Characters(s)) {
    const std::int32_t code = code_point(c);
    if (code >= ' ' && code < 0x7f && code != '"' && code != '\\')  // most
      out += c;
    else if (const auto at = kEscaped.find(c); at != kEscaped.npos)
      out.append(1, '\\').append(1, kLetters[at]);
    else if (code < 0 || (code >= 0x20 && !(ascii && code > 0x7e)))
      out += c;
    else if (code < 0x10000)
      out += fmt::format("\\u{:04x}", code);
    else
      out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10),
                         0xDC00 + ((code - 0x10000) & 0x3FF));
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
  void write_raw(std::string_view text) {
    meter_.take(text.size());
    out_ += text;
  }
  void line() {
    if (style_.indent < 0) return;
    write_raw("\n" + std::string(static_cast<std::size_t>(style_.indent * level_), ' '));
  }
  void separate(bool& first) {
    if (!first) write_raw(style_.item_separator);
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
      write_raw(json_string(key_text(item->first), style_.ascii));
      write_raw(style_.key_separator);
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

std::string dump_json(const Value& v, const JsonStyle& style, Meter& meter) {
  JsonWriter writer(style, meter);
  writer.write(v);
  return std::move(writer.out_);
}

Value from_json(const Json& json) {
  return converted(json, 0);
}

}  // namespace tack::jinja
