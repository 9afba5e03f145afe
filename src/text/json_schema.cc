#include "text/json_schema.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "text/json_grammar.h"
#include "text/json_schema_merge.h"
#include "text/pattern.h"

namespace tack {
namespace {

using Node = ByteGrammar::Node;
using Rule = ByteGrammar::Rule;
using Keywords = std::span<const std::string_view>;
using Word = std::string_view;

constexpr std::array<Word, 3> kObjectWords{"properties", "required", "additionalProperties"};
constexpr std::array<Word, 4> kArrayWords{"items", "prefixItems", "minItems", "maxItems"};
constexpr std::array<Word, 4> kStringWords{"minLength", "maxLength", "pattern", "format"};
constexpr std::array<Word, 4> kNumberWords{"minimum", "maximum", "exclusiveMinimum",
                                           "exclusiveMaximum"};
constexpr std::array<Word, 7> kOtherWords{"type",  "enum",  "const", "anyOf",
                                          "oneOf", "allOf", "$ref"};
constexpr std::array<Keywords, 4> kTypedWords{kObjectWords, kArrayWords, kStringWords,
                                              kNumberWords};
constexpr int kDeepestSchema = 100;
// Bounds the work on schemas that refer to themselves in ever more ways.
constexpr std::size_t kMostParts = 200'000, kMostRuleText = std::size_t{32} << 20U;

bool has_any(const Json& schema, Keywords words) {
  return std::ranges::any_of(words, [&](std::string_view w) { return schema.contains(w); });
}

bool supported(std::string_view word) {
  if (std::ranges::find(kOtherWords, word) != kOtherWords.end()) return true;
  for (const Keywords words : kTypedWords)
    if (std::ranges::find(words, word) != words.end()) return true;
  return is_annotation(word);
}

// Regular expressions for the formats; dates are real ones.
std::string_view format_pattern(std::string_view format) {
  static const std::string kDate =
      "((000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-"
      "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|"
      "02-(0[1-9]|1[0-9]|2[0-8]))|"
      "([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)-02-29)";
  static const std::string kTime =
      "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9]"
      ")";
  static const std::string kAtom = "[A-Za-z0-9!#$%&'*+/=?^_{|}~-]+";
  static const std::string kLabel = "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?";
  static const std::string kByte = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
  static const std::map<std::string_view, std::string> kPatterns{
      {"date", "^" + kDate + "$"},
      {"time", "^" + kTime + "$"},
      {"date-time", "^" + kDate + "T" + kTime + "$"},
      {"email", "^" + kAtom + "(\\." + kAtom + ")*@" + kLabel + "(\\." + kLabel + ")+$"},
      {"uuid", "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"},
      {"ipv4", "^" + kByte + "(\\." + kByte + "){3}$"}};
  const auto found = kPatterns.find(format);
  return found == kPatterns.end() ? std::string_view() : found->second;
}

class Compiler {
 public:
  explicit Compiler(const Json& root) : root_(root) {}

  Result<ByteGrammar> run() {
    const ByteGrammar::RuleInfo top = grammar_.rule(0);
    TACK_RETURN_IF_ERROR(value(root_, "#", top.start, top.end));
    while (!pending_.empty()) {
      const Pending next = std::move(pending_.back());
      pending_.pop_back();
      const ByteGrammar::RuleInfo rule = grammar_.rule(next.rule);
      TACK_RETURN_IF_ERROR(at(rule.where, grammar_.room(0)));
      if (rule_text_ > kMostRuleText)
        return error(rule.where,
                     "the schema is too large: its objects and arrays repeat without end");
      if (next.literal)
        literal_body(next.schema, next.rule);
      else if (rule.open == '{')
        TACK_RETURN_IF_ERROR(object_body(next.schema, rule));
      else
        TACK_RETURN_IF_ERROR(array_body(next.schema, rule));
    }
    TACK_RETURN_IF_ERROR(grammar_.finish());
    return std::move(grammar_);
  }

 private:
  struct Pending {
    Rule rule;
    Json schema;
    bool literal;
  };

  template <class... Args>
  static std::unexpected<Error> error(const std::string& where, fmt::format_string<Args...> format,
                                      Args&&... args) {
    return fail(ErrorCode::kUsage, "schema at {}: {}", where,
                fmt::format(format, std::forward<Args>(args)...));
  }
  // The place in front of an error that does not know it.
  static Status at(const std::string& where, Status status) {
    if (status) return status;
    return std::unexpected(std::move(status).error().in("schema at " + where));
  }

  Status check_words(const Json& schema, const std::string& where) {
    for (const auto& [word, unused] : schema.items())
      if (!supported(word)) return error(where, "'{}' is not supported", word);
    return {};
  }

  Status value(const Json& schema, const std::string& where, Node from, Node to) {
    if (++depth_ > kDeepestSchema) return error(where, "nested deeper than {}", kDeepestSchema);
    if (++parts_ > kMostParts)
      return error(where, "the schema is too large: more than {} parts", kMostParts);
    TACK_RETURN_IF_ERROR(value_at(schema, where, from, to));
    --depth_;
    return {};
  }

  Status value_at(const Json& schema, const std::string& where, Node from, Node to) {
    TACK_RETURN_IF_ERROR(at(where, grammar_.room(0)));
    if (schema.is_boolean()) {
      if (!schema.get<bool>()) return error(where, "false allows nothing");
      return value(Json::object(), where, from, to);
    }
    if (!schema.is_object()) return error(where, "a schema is an object, true or false");
    TACK_RETURN_IF_ERROR(check_words(schema, where));
    if (schema.contains("$ref")) return reference(schema, where, from, to);
    if (schema.contains("allOf")) {
      TACK_TRY(const Json merged, merge_all_of(root_, schema, where));
      return value(merged, where, from, to);
    }
    if (schema.contains("anyOf") || schema.contains("oneOf"))
      return alternatives(schema, where, from, to);
    if (schema.contains("enum") || schema.contains("const"))
      return literals(schema, where, from, to);
    return types(schema, where, from, to);
  }

  Status reference(const Json& schema, const std::string& where, Node from, Node to) {
    TACK_TRY(const Json* target, resolve_reference(root_, schema, where));
    const std::string name = schema["$ref"].get<std::string>();
    if (!active_.insert(name).second)
      return error(where, "'$ref' {} leads to itself with no object or array in between", name);
    Status status;
    if (only_annotations_beside(schema, "$ref")) {
      status = value(*target, name, from, to);
    } else {
      Json parts = Json::array({without(schema, {"$ref"}), *target});
      Json all = Json::object();
      all["allOf"] = std::move(parts);
      status = value(all, where, from, to);
    }
    active_.erase(name);
    return status;
  }

  Status alternatives(const Json& schema, const std::string& where, Node from, Node to) {
    const char* word = schema.contains("anyOf") ? "anyOf" : "oneOf";
    if (schema.contains("anyOf") && schema.contains("oneOf"))
      return error(where, "'anyOf' beside 'oneOf' is not supported");
    const Json& list = schema[word];
    if (!list.is_array() || list.empty())
      return error(where, "'{}' must be a list of schemas", word);
    const bool alone = only_annotations_beside(schema, word);
    for (std::size_t i = 0; i < list.size(); ++i) {
      const std::string place = fmt::format("{}/{}/{}", where, word, i);
      if (alone) {
        TACK_RETURN_IF_ERROR(value(list[i], place, from, to));
        continue;
      }
      Json all = Json::object();
      all["allOf"] = Json::array({without(schema, {word}), list[i]});
      TACK_RETURN_IF_ERROR(value(all, place, from, to));
    }
    return {};
  }

  Status literals(const Json& schema, const std::string& where, Node from, Node to) {
    for (const Keywords words : kTypedWords)
      for (const std::string_view word : words)
        if (schema.contains(word))
          return error(where, "'{}' beside 'enum' or 'const' is not supported", word);
    Json list = schema.contains("enum") ? schema["enum"] : Json::array({schema["const"]});
    if (!list.is_array()) return error(where, "'enum' must be a list");
    if (schema.contains("enum") && schema.contains("const")) {
      if (std::ranges::find(list, schema["const"]) == list.end())
        return error(where, "'const' is not one of 'enum'");
      list = Json::array({schema["const"]});
    }
    std::set<std::string> allowed;
    if (schema.contains("type")) {
      TACK_TRY(allowed, type_list(schema["type"], where));
    }
    std::set<std::string> seen;
    for (const Json& item : list) {
      if (!allowed.empty() && !is_of_type(item, allowed)) continue;
      const std::string text = to_text(item);
      if (!seen.insert(text).second) continue;
      TACK_RETURN_IF_ERROR(at(where, grammar_.room(text.size())));
      literal(item, where, from, to);
    }
    if (seen.empty()) return error(where, "'enum' allows nothing");
    return {};
  }

  // Numbers are written as the schema's library writes them.
  void literal(const Json& item, const std::string& where, Node from, Node to) {
    if (item.is_object() || item.is_array())
      grammar_.call(from, rule_of(item.is_object() ? '{' : '[', item, where, true), to);
    else
      grammar_.read(from, to_text(item), to);
  }

  void literal_body(const Json& item, Rule rule_id) {
    const ByteGrammar::RuleInfo rule = grammar_.rule(rule_id);
    const char close = item.is_object() ? '}' : ']';
    Node at_node = rule.start;
    bool first = true;
    for (const auto& [key, part] : item.items()) {
      if (!first) at_node = separated(',', at_node);
      first = false;
      if (item.is_object()) {
        const Node after = grammar_.add_node();
        grammar_.read(at_node, to_text(Json(key)), after);
        at_node = separated(':', after);
      }
      const Node after = grammar_.add_node();
      literal(part, rule.where, at_node, after);
      at_node = after;
    }
    grammar_.read(at_node, std::string_view(&close, 1), rule.end);
  }

  Node separated(char separator, Node from) {
    const Node to = grammar_.add_node();
    json_grammar::add_separator(grammar_, separator, from, to);
    return to;
  }

  // One rule for equal schemas, so that recursion ends.
  Rule rule_of(char open, const Json& schema, const std::string& where, bool is_literal) {
    std::string key = std::string(1, open) + (is_literal ? 'l' : 's') + to_text(schema);
    const std::size_t size = key.size();
    const auto [known, added] = rules_.try_emplace(std::move(key), 0);
    if (added) {
      rule_text_ += size;
      known->second = grammar_.add_rule(open, where);
      pending_.push_back({known->second, schema, is_literal});
    }
    return known->second;
  }

  Status types(const Json& schema, const std::string& where, Node from, Node to) {
    std::set<std::string> types;
    if (schema.contains("type")) {
      TACK_TRY(types, type_list(schema["type"], where));
    } else {
      if (has_any(schema, kObjectWords)) types.insert("object");
      if (has_any(schema, kArrayWords)) types.insert("array");
      if (has_any(schema, kStringWords)) types.insert("string");
      if (has_any(schema, kNumberWords)) types.insert("number");
      if (types.empty()) types = {"object", "array", "string", "number", "boolean", "null"};
    }
    for (const std::string& type : types) {
      if (type == "object" || type == "array")
        grammar_.call(from, structure(type, schema, where), to);
      else if (type == "string")
        TACK_RETURN_IF_ERROR(string(schema, where, from, to));
      else if (type == "null")
        grammar_.read(from, "null", to);
      else if (type == "boolean")
        grammar_.read(from, "true", to), grammar_.read(from, "false", to);
      else if (type == "number" || !types.contains("number"))
        TACK_RETURN_IF_ERROR(number(schema, where, type == "integer", from, to));
    }
    return {};
  }

  Rule structure(const std::string& type, const Json& schema, const std::string& where) {
    Json own = Json::object();
    for (const std::string_view word :
         type == "object" ? Keywords(kObjectWords) : Keywords(kArrayWords))
      if (schema.contains(word)) own[std::string(word)] = schema[std::string(word)];
    return rule_of(type == "object" ? '{' : '[', own, where, false);
  }

  Result<std::optional<std::uint32_t>> count(const Json& schema, const char* word,
                                             const std::string& where) {
    if (!schema.contains(word)) return std::nullopt;
    const Json& v = schema[word];
    const bool whole = v.is_number() && v.get<double>() >= 0 && v.get<double>() <= 1e9 &&
                       v.get<double>() == std::floor(v.get<double>());
    if (!whole) return error(where, "'{}' must be a whole number from 0 to 1e9", word);
    return static_cast<std::uint32_t>(v.get<double>());
  }

  struct Counts {
    std::uint32_t least = 0, most = ByteGrammar::kNone;
  };
  Result<Counts> counts(const Json& schema, const char* least, const char* most,
                        const std::string& where) {
    TACK_TRY(const auto low, count(schema, least, where));
    TACK_TRY(const auto high, count(schema, most, where));
    const Counts out{low.value_or(0), high.value_or(ByteGrammar::kNone)};
    if (out.least > out.most)
      return error(where, "'{}' {} is above '{}' {}", least, out.least, most, out.most);
    TACK_RETURN_IF_ERROR(at(where, grammar_.room(high ? out.most : out.least)));
    return out;
  }

  Status string(const Json& schema, const std::string& where, Node from, Node to) {
    TACK_TRY(const Counts length, counts(schema, "minLength", "maxLength", where));
    const bool has_pattern = schema.contains("pattern"), has_format = schema.contains("format");
    if (!has_pattern && !has_format)
      return at(where, json_grammar::add_string(grammar_, length.least, length.most, from, to));
    if (has_pattern && has_format)
      return error(where, "'pattern' beside 'format' is not supported");
    const char* word = has_pattern ? "pattern" : "format";
    if (!schema[word].is_string()) return error(where, "'{}' must be a string", word);
    std::string pattern = schema[word].get<std::string>();
    if (has_format) {
      const std::string_view known = format_pattern(pattern);
      if (known.empty())
        return error(
            where,
            "'format' \"{}\" is not supported (date, time, date-time, email, uuid, ipv4 are)",
            pattern);
      pattern = known;
    }
    auto compiled = compile_pattern(pattern);
    if (!compiled) return at(where, std::unexpected(std::move(compiled).error()));
    CharAutomaton automaton = *std::move(compiled);
    if (length.least > 0 || length.most != ByteGrammar::kNone) {
      const std::size_t layers =
          std::size_t{length.most == ByteGrammar::kNone ? length.least : length.most} + 1;
      TACK_RETURN_IF_ERROR(at(where, grammar_.room(layers * automaton.states.size())));
      automaton = of_length(automaton, length.least, length.most);
    }
    if (automaton.accepts_nothing()) return error(where, "no string satisfies it");
    return at(where, json_grammar::add_string(grammar_, automaton, from, to));
  }

  // A limit as a whole number. For integers a fraction is rounded inwards.
  struct Limit {
    std::int64_t value = 0;
    bool rounded = false;
  };
  Result<std::optional<Limit>> limit(const Json& schema, const char* word, bool lower, bool integer,
                                     const std::string& where) {
    if (!schema.contains(word)) return std::nullopt;
    const Json& v = schema[word];
    if (!v.is_number()) return error(where, "'{}' must be a number", word);
    const double size = v.get<double>();
    // What lies beyond the digits that are written limits nothing, or everything.
    if (!(std::abs(size) <= 1e18)) return Limit{size < 0 ? -2 * kBeyond : 2 * kBeyond, false};
    if (v.is_number_integer()) return Limit{v.get<std::int64_t>(), false};
    const double whole = lower ? std::ceil(size) : std::floor(size);
    if (whole != size && !integer)
      return error(where, "'{}' {} of a number: only whole limits are supported", word, size);
    return Limit{static_cast<std::int64_t>(whole), whole != size};
  }
  static constexpr std::int64_t kBeyond = json_grammar::kLargest + 1;

  Status number(const Json& schema, const std::string& where, bool integer, Node from, Node to) {
    json_grammar::Limits limits;
    const auto take = [&](const char* word, bool lower, bool exclusive) -> Status {
      TACK_TRY(const auto found, limit(schema, word, lower, integer, where));
      if (!found) return {};
      std::int64_t value = found->value;
      bool out = exclusive && !found->rounded;
      if (integer && out) value += lower ? 1 : -1, out = false;
      auto& bound = lower ? limits.least : limits.most;
      bool& bound_out = lower ? limits.least_exclusive : limits.most_exclusive;
      if (!bound || (lower ? value > *bound : value < *bound))
        bound = value, bound_out = out;
      else if (value == *bound)
        bound_out |= out;
      return {};
    };
    TACK_RETURN_IF_ERROR(take("minimum", true, false));
    TACK_RETURN_IF_ERROR(take("exclusiveMinimum", true, true));
    TACK_RETURN_IF_ERROR(take("maximum", false, false));
    TACK_RETURN_IF_ERROR(take("exclusiveMaximum", false, true));
    // Limits beyond all that is written.
    for (auto* bound : {&limits.least, &limits.most})
      if (*bound && std::abs(**bound) > json_grammar::kLargest) {
        const bool lower = bound == &limits.least;
        if ((**bound > 0) == lower) {
          return error(where, "no number of up to {} digits satisfies it", json_grammar::kDigits);
        }
        bound->reset();
        (lower ? limits.least_exclusive : limits.most_exclusive) = false;
      }
    Result<bool> any = integer ? json_grammar::add_integer(grammar_, limits, from, to)
                               : json_grammar::add_number(grammar_, limits, from, to);
    if (!any) return at(where, std::unexpected(std::move(any).error()));
    if (!*any) return error(where, "no {} lies between its limits", integer ? "integer" : "number");
    return {};
  }

  struct Property {
    std::string name;
    const Json* schema;
    bool required;
    std::string where;
  };

  Status object_body(const Json& schema, const ByteGrammar::RuleInfo& rule) {
    static const Json kAny = true;
    const std::string& where = rule.where;
    const Json* more = nullptr;  // the schema of additional properties
    if (!schema.contains("properties") && !schema.contains("additionalProperties")) more = &kAny;
    if (schema.contains("additionalProperties")) {
      const Json& v = schema["additionalProperties"];
      if (!v.is_boolean() && !v.is_object())
        return error(where, "'additionalProperties' must be true, false or a schema");
      if (!v.is_boolean() || v.get<bool>()) more = &v;
    }
    TACK_TRY(const std::vector<Property> properties, property_list(schema, where, more));

    // open[i]: before property i, or one after it, when the way there is clear; after[i]: property
    // i - 1 or one before it was the last one written.
    const std::size_t n = properties.size();
    std::vector<Node> open, after;
    for (std::size_t i = 0; i <= n; ++i) {
      open.push_back(grammar_.add_node());
      after.push_back(grammar_.add_node());
    }
    grammar_.skip(rule.start, open[0]);
    bool rest_optional = true;
    for (std::size_t i = n + 1; i-- > 0;) {
      if (i < n) {
        rest_optional = rest_optional && !properties[i].required;
        if (!properties[i].required) grammar_.skip(open[i], open[i + 1]);
      }
      if (rest_optional) grammar_.read(after[i], "}", rule.end);
      if (i < n || more != nullptr) json_grammar::add_separator(grammar_, ',', after[i], open[i]);
    }
    if (rest_optional) grammar_.read(rule.start, "}", rule.end);
    std::vector<std::u32string> names;
    for (std::size_t i = 0; i < n; ++i) {
      const std::string key = to_text(Json(properties[i].name));
      TACK_RETURN_IF_ERROR(at(where, grammar_.room(key.size())));
      const Node named = grammar_.add_node();
      grammar_.read(open[i], key, named);
      TACK_RETURN_IF_ERROR(
          value(*properties[i].schema, properties[i].where, separated(':', named), after[i + 1]));
      // What to_text replaced, when the name is not UTF-8, is no name either.
      auto characters = characters_of(properties[i].name);
      if (!characters) return error(where, "a property name that is not UTF-8");
      names.push_back(*std::move(characters));
    }
    if (more == nullptr) return {};
    const Node named = grammar_.add_node();
    TACK_RETURN_IF_ERROR(
        at(where, json_grammar::add_string(grammar_, all_but(names), open[n], named)));
    return value(*more, where + "/additionalProperties", separated(':', named), after[n]);
  }

  Result<std::vector<Property>> property_list(const Json& schema, const std::string& where,
                                              const Json* more) {
    std::set<std::string> required;
    std::vector<std::string> required_order;
    if (schema.contains("required")) {
      const Json& list = schema["required"];
      if (!list.is_array()) return error(where, "'required' must be a list of names");
      for (const Json& name : list) {
        if (!name.is_string()) return error(where, "'required' must be a list of names");
        if (required.insert(name.get<std::string>()).second)
          required_order.push_back(name.get<std::string>());
      }
    }
    std::vector<Property> out;
    std::set<std::string> described;
    if (schema.contains("properties")) {
      const Json& properties = schema["properties"];
      if (!properties.is_object()) return error(where, "'properties' must be an object");
      for (const auto& [name, own] : properties.items()) {
        const bool must = required.contains(name);
        described.insert(name);
        out.push_back({name, &own, must, where + "/properties/" + name});
      }
    }
    for (const std::string& name : required_order) {
      if (described.contains(name)) continue;
      if (more == nullptr)
        return error(where, "'required' property '{}' is not allowed: add it to 'properties'",
                     name);
      out.push_back({name, more, true, where + "/additionalProperties"});
    }
    return out;
  }

  Status array_body(const Json& schema, const ByteGrammar::RuleInfo& rule) {
    static const Json kAny = true;
    const std::string& where = rule.where;
    TACK_TRY(Counts length, counts(schema, "minItems", "maxItems", where));
    const Json none = Json::array();
    const Json& prefix = schema.contains("prefixItems") ? schema["prefixItems"] : none;
    if (!prefix.is_array()) return error(where, "'prefixItems' must be a list of schemas");
    const Json& items = schema.contains("items") ? schema["items"] : kAny;
    if (items.is_array())
      return error(where, "'items' must be one schema: a list is 'prefixItems'");
    const auto fixed = static_cast<std::uint32_t>(prefix.size());
    if (items.is_boolean() && !items.get<bool>()) length.most = std::min(length.most, fixed);
    if (length.least > length.most)
      return error(where, "'minItems' {} is more than 'prefixItems' and 'items' allow",
                   length.least);

    // after: i items are written. From `rounds` on, all positions are alike when there is no limit.
    const bool open = length.most == ByteGrammar::kNone;
    const std::uint32_t rounds = open ? std::max({fixed, length.least, 1U}) : length.most;
    Node after = rule.start;
    for (std::uint32_t i = 0; i <= rounds; ++i) {
      if (i >= length.least) grammar_.read(after, "]", rule.end);
      if (i == rounds && !open) break;
      const Node before = i == 0 ? after : separated(',', after);
      const bool last = i == rounds;  // and again
      const Node next = last ? after : grammar_.add_node();
      const bool own = i < fixed;
      TACK_RETURN_IF_ERROR(
          value(own ? prefix[i] : items,
                own ? fmt::format("{}/prefixItems/{}", where, i) : where + "/items", before, next));
      after = next;
    }
    return {};
  }

  const Json& root_;
  ByteGrammar grammar_;
  std::map<std::string, Rule> rules_;
  std::vector<Pending> pending_;
  std::set<std::string> active_;  // references that are being followed
  int depth_ = 0;
  std::size_t parts_ = 0, rule_text_ = 0;
};

}  // namespace

Result<ByteGrammar> compile_json_schema(const Json& schema) {
  Result<ByteGrammar> grammar = Compiler(schema).run();
  // Names from the schema may hold anything; an error is one line.
  if (!grammar)
    for (char& c : grammar.error().message)
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  return grammar;
}

}  // namespace tack
