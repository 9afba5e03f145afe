// Values of chat templates with Python's semantics: what `{{ x }}` prints, what is true, equal,
// less. Part of the interpreter (template.h); nothing else should need it.
//
// Inside the interpreter errors travel as the exception Failure, which template.cc turns into an
// Error: every operator can fail, and a template's depth is bounded by Meter.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"

namespace tack::jinja {

struct Failure {
  std::string message;
  bool raised = false;  // by the template itself (raise_exception)
};
[[noreturn]] void stop(std::string message);

// What one rendering may use. Templates come with downloaded models: they are not trusted.
struct Meter {
  std::int64_t steps = 2'000'000;
  // Of all strings and lists made, in sum: some templates write the prompt into a variable and copy
  // it with every message.
  std::int64_t bytes = 128 << 20;
  int depth = 0;
  int line = 0;  // being evaluated, for messages

  static constexpr int kMaxDepth = 300;
  void step(std::int64_t n = 1);
  void scan(std::size_t n) { step(static_cast<std::int64_t>(n >> 8)); }  // bytes read
  void take(std::size_t n);
};
class Deeper {
 public:
  explicit Deeper(Meter& meter);
  ~Deeper() { --meter_.depth; }
  Deeper(const Deeper&) = delete;
  Deeper& operator=(const Deeper&) = delete;

 private:
  Meter& meter_;
};

enum class Kind : std::uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kNamespace,
  kFunction
};

struct Value;
using List = std::vector<Value>;
struct ListBox;
struct DictBox;
struct Function;

// Immutable but for namespaces; copies share.
struct Value {
  Kind kind = Kind::kUndefined;
  bool markup = false;  // a string that went through `safe`: what `+` joins to it is escaped
  std::variant<std::monostate, bool, std::int64_t, double, std::shared_ptr<const std::string>,
               std::shared_ptr<ListBox>, std::shared_ptr<DictBox>, std::shared_ptr<Function>>
      data;

  Value() = default;
  Value(bool v) : kind(Kind::kBool), data(v) {}
  Value(std::int64_t v) : kind(Kind::kInt), data(v) {}
  Value(double v) : kind(Kind::kFloat), data(v) {}
  Value(std::string v)
      : kind(Kind::kString), data(std::make_shared<const std::string>(std::move(v))) {}
  Value(std::string_view v) : Value(std::string(v)) {}
  Value(const char* v) : Value(std::string(v)) {}
  static Value none();
  static Value marked_up(std::string text);
  static Value undefined(std::string what);  // `what`: for messages, "'x' is undefined"
  static Value list(List items, Kind kind = Kind::kList);
  static Value dict(DictBox box, Kind kind = Kind::kDict);
  static Value function(std::string name, std::function<Value(struct Arguments&)> call);

  bool is(Kind k) const { return kind == k; }
  bool is_string() const { return kind == Kind::kString; }
  bool is_sequence() const { return kind == Kind::kList || kind == Kind::kTuple; }
  bool is_dict() const { return kind == Kind::kDict; }
  bool is_integer() const { return kind == Kind::kInt || kind == Kind::kBool; }
  bool is_number() const { return is_integer() || kind == Kind::kFloat; }
  const std::string& text() const;  // of a string
  const List& items() const;        // of a list or tuple
  DictBox& box() const;             // of a dict or namespace
  const Function& callee() const;
  std::int64_t integer() const;  // of an int or bool
  double number() const;         // of any number
  int depth() const;             // of nesting
};

struct ListBox {
  List items;
  int depth = 1;
};
struct DictBox {
  std::vector<std::pair<Value, Value>> items;  // in the order of insertion
  int depth = 1;

  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  void set(Value key, Value value);
};

// Of a call: positional, then named.
struct Arguments {
  Meter& meter;
  List values;
  std::vector<std::pair<std::string, Value>> named;

  // The argument at `at` or called `name`; null when absent.
  const Value* find(std::size_t at, std::string_view name) const;
  Value get(std::size_t at, std::string_view name, Value fallback) const;
  const Value& need(std::size_t at, std::string_view name) const;
};
struct Function {
  std::string name;
  std::function<Value(Arguments&)> call;
};

std::string_view type_name(const Value& v);  // Python's: "str", "dict", ...
bool truth(const Value& v);
bool equal(const Value& a, const Value& b, Meter& meter);
// Less than; stops for kinds that Python does not order.
bool less(const Value& a, const Value& b, Meter& meter);
bool contains(const Value& container, const Value& item, Meter& meter);
std::int64_t length(const Value& v, Meter& meter);  // stops when it has none
List iterate(const Value& v, Meter& meter);         // stops when it is not iterable

std::string str(const Value& v, Meter& meter);   // as Python's str()
std::string repr(const Value& v, Meter& meter);  // as Python's repr()
std::string float_repr(double v);

// Python's json.dumps(ensure_ascii=False). `indent` < 0: one line.
struct JsonStyle {
  int indent = -1;
  bool ascii = false;
  bool sort_keys = false;
  std::string item_separator = ", ", key_separator = ": ";
};
std::string dump_json(const Value& v, const JsonStyle& style, Meter& meter);

Value from_json(const Json& json);  // nesting deeper than 128 stops

void must_be_defined(const Value& v);
void must_be_hashable(const Value& key);  // of a dict
std::int64_t whole(const Value& v);       // stops when it is no integer

// Code points. Bytes that are not UTF-8 count one each.
std::size_t char_bytes(std::string_view s, std::size_t at);
std::int64_t char_count(std::string_view s);
// The characters of a text: for (std::string_view c : Characters(s)).
class Characters {
 public:
  struct End {};
  class Iterator {
   public:
    explicit Iterator(std::string_view rest) : rest_(rest) { measure(); }
    std::string_view operator*() const { return rest_.substr(0, bytes_); }
    Iterator& operator++() {
      rest_.remove_prefix(bytes_);
      measure();
      return *this;
    }
    bool operator==(End) const { return rest_.empty(); }

   private:
    void measure() { bytes_ = rest_.empty() ? 0 : char_bytes(rest_, 0); }
    std::string_view rest_;
    std::size_t bytes_ = 0;
  };

  explicit Characters(std::string_view text) : text_(text) {}
  Iterator begin() const { return Iterator(text_); }
  End end() const { return {}; }

 private:
  std::string_view text_;
};
std::int32_t code_point(std::string_view character);
void append_utf8(std::string& out, std::uint32_t code);
bool is_space(std::string_view character);  // Python's str.isspace
// Without what `drops` holds for, by default white space, at either end.
std::string_view strip(std::string_view s, bool left, bool right,
                       const std::function<bool(std::string_view character)>& drops = is_space);
// As s.find(what), paid for as if it took what it may at worst.
std::size_t find_in(std::string_view s, std::string_view what, Meter& meter);
std::string change_case(std::string_view s, bool upper);

std::string escaped_html(std::string_view s);

// Attribute `name` of a value that is a method of Python's str or dict; nothing if there is none.
bool find_method(const Value& self, std::string_view name, Value& out);
// Operators that filters and methods need too.
Value get_item(const Value& self, const Value& key, Meter& meter);  // self[key], jinja's fallbacks
Value get_attribute(const Value& self, std::string_view name, Meter& meter);  // self.name
Value add(const Value& a, const Value& b, Meter& meter);
Value call(const Value& callee, Arguments& arguments);

Value apply_filter(const std::string& name, const Value& v, Arguments& arguments);
bool apply_test(const std::string& name, const Value& v, Arguments& arguments);

}  // namespace tack::jinja
