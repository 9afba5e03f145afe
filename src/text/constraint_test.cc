// Constraints by hand, their masks against trying every token, and outputs written by chance.
// tools/golden/json_schema.py compares with the Python package jsonschema, through Parity below.

#include "text/constraint.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <optional>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "base/random.h"
#include "text/constraint_machine.h"
#include "text/json_schema.h"

namespace tack {
namespace {

using Vocabulary = Constraint::Vocabulary;

Vocabulary vocabulary_of(std::vector<std::string> tokens) {
  tokens.emplace_back("</s>");  // the end, whose bytes are no text
  const auto end = static_cast<TokenId>(tokens.size()) - 1;
  auto made = TokenVocabulary::create(std::move(tokens), {end});
  EXPECT_TRUE(made) << made.error().message;
  return *std::move(made);
}

std::vector<std::string> all_bytes() {
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
  return tokens;
}

const Vocabulary& byte_vocabulary() {
  static const Vocabulary kVocabulary = vocabulary_of(all_bytes());
  return kVocabulary;
}

// Bytes, words, and pieces of JSON that cross its borders, with duplicates and broken characters.
std::vector<std::string> piece_tokens(std::size_t more, std::uint64_t seed) {
  std::vector<std::string> tokens = all_bytes();
  for (const char* text :
       {"\"}",  "\"},",   "\"]",      "]}",       "}}",           "]]",           "}]",
        "],[",  "[[",     "[[[",      "{\"",      "[\"",          "[{\"",         "\":",
        "\": ", "\": \"", "\":\"",    ", \"",     ",\"",          "\",\"",        "\", \"",
        "true", "false",  "null",     "tr",       "ue",           "}}}",          "]]]]",
        "12",   "123",    "-1",       "0.",       ".5",           "e1",           "e-",
        "\\n",  "\\u",    "\\u00",    "\\ud83d",  "\\",           "\\\\",         "\\\"",
        "{}",   "[]",     "\xe6\x9d", "\xb1\xe4", "\xf0\x9f\x99", "\xe6\x9d\xb1", "\xc3\xa9",
        "  ",   ": ",     ", ",       "a\"",      "b\",",         "c\":",         "d\"}",
        "\n",   "\r\n",   "\"\"",     "\"\":",    "{\"a\":",      "{\"a\": [",    "\x80",
        "a",    "ab",     "[1",       "2]",       "3,",           "4, ",          "},{\""})
    tokens.emplace_back(text);
  Random random(seed);
  for (std::size_t i = 0; i < more; ++i) {
    std::string text;
    for (std::uint64_t n = 1 + random.below(7); n > 0; --n)
      text += random.below(6) == 0 ? tokens[256 + random.below(60)]
                                   : std::string(1, static_cast<char>('a' + random.below(26)));
    tokens.push_back(text);
  }
  return tokens;
}

const Vocabulary& piece_vocabulary() {
  static const Vocabulary kVocabulary = vocabulary_of(piece_tokens(1500, 3));
  return kVocabulary;
}

// TACK_TOKEN_BYTES: a file of a token a line, in hexadecimal; the last one ends outputs.
Vocabulary vocabulary_file() {
  const char* path = std::getenv("TACK_TOKEN_BYTES");
  if (path == nullptr) return nullptr;
  std::ifstream file(path);
  std::vector<std::string> tokens;
  for (std::string line; std::getline(file, line);) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < line.size(); i += 2)
      bytes += static_cast<char>(std::stoi(line.substr(i, 2), nullptr, 16));
    tokens.push_back(bytes);
  }
  const auto end = static_cast<TokenId>(tokens.size()) - 1;
  auto made = TokenVocabulary::create(std::move(tokens), {end});
  EXPECT_TRUE(made) << made.error().message;
  return made ? *made : nullptr;
}

std::shared_ptr<const Constraint> compiled(std::string_view schema,
                                           const Vocabulary& vocabulary = byte_vocabulary()) {
  auto json = parse_json(schema, "schema");
  EXPECT_TRUE(json) << schema;
  if (!json) return nullptr;
  auto made = Constraint::from_schema(*json, vocabulary);
  EXPECT_TRUE(made) << schema << "\n" << (made ? "" : made.error().message);
  return made ? *made : nullptr;
}

bool accepts(const std::shared_ptr<const Constraint>& constraint, std::string_view text) {
  ConstraintState state(constraint);
  return state.accept_bytes(text) && state.may_end();
}

struct Case {
  const char* schema;
  std::vector<std::string> yes, no;
};

TEST(JsonSchema, AcceptsWhatItSays) {
  const std::vector<Case> cases{
      {R"({"type":"null"})", {"null"}, {"", "nul", "nulls", " null"}},
      {R"({"type":["boolean","null"]})", {"true", "false", "null"}, {"0", "\"true\""}},
      {R"({"type":"integer"})",
       {"0", "-1", "42", "999999999999999999"},
       {"-0", "01", "1.0", "1e3", "-", "1000000000000000000"}},
      {R"({"type":"integer","minimum":-12,"maximum":305})",
       {"-12", "-1", "0", "9", "10", "99", "100", "299", "305"},
       {"-13", "-20", "306", "310", "1000", "00"}},
      {R"({"type":"integer","exclusiveMinimum":1.5,"exclusiveMaximum":4})", {"2", "3"}, {"1", "4"}},
      {R"({"type":"number"})",
       {"0", "-0", "1.50", "-2.5e-3", "1E5", "1e05"},
       {"1.", ".5", "1e", "01", "+1", "1e123", "NaN"}},
      {R"({"type":"number","minimum":0,"exclusiveMaximum":1})",
       {"0", "0.0", "0.999", "0.5"},
       {"1", "1.0", "-0.1", "0.5e3", "-0"}},
      {R"({"type":"number","exclusiveMinimum":-2,"maximum":3})",
       {"-1.999", "-1", "-0.5", "0", "3", "3.00", "2.9"},
       {"-2", "-2.0", "3.01", "-3"}},
      {R"({"type":"number","minimum":5,"maximum":5})", {"5", "5.0"}, {"5.1", "4.9"}},
      {R"({"type":"number","maximum":-3})", {"-3", "-3.5", "-100"}, {"-2.9", "3", "0"}},
      {R"({"type":"string"})",
       {R"("")", R"("a")", R"("\"\\\/\b\f\n\r\t")", R"("\u00e9")", R"("\ud83d\ude00")",
        "\"\xe6\x9d\xb1\xf0\x9f\x99\x82\"", "\"\x7f\""},
       {R"("a)", R"("\x")", R"("\u12")", R"("\ud83d")", R"("\ude00")", R"("\ud83d\u0041")",
        "\"\n\"", "\"\xff\"", "\"\xe6\x9d\"", "\"\xed\xa0\x80\"", "\"\xc0\x80\"",
        "\"\xf5\x80\x80\x80\"", "\"a\"b"}},
      {R"({"type":"string","minLength":2,"maxLength":3})",
       {R"("ab")", R"("abc")", R"("\n\u0041")", "\"\xf0\x9f\x99\x82\xc3\xa9x\"",
        R"("\ud83d\ude00z")"},
       {R"("a")", R"("abcd")", R"("\ud83d\ude00")"}},
      {R"({"type":"string","minLength":2})", {R"("ab")", R"("abcdefgh")"}, {R"("a")", R"("")"}},
      {R"({"type":"string","pattern":"^a+b?$"})",
       {R"("a")", R"("aab")"},
       {R"("b")", R"("ab\n")", R"("abb")"}},
      {R"({"type":"string","pattern":"x"})", {R"("x")", R"("axb")", R"("\n\"x\\")"}, {R"("ab")"}},
      {R"({"type":"string","pattern":"^[^\"a]{2}$"})",
       {R"("\n\\")", "\"b\xc3\xa9\""},
       {R"("\"b")", R"("ab")", R"("b")"}},
      {R"({"type":"string","pattern":"^a*$","minLength":2,"maxLength":3})",
       {R"("aa")", R"("aaa")"},
       {R"("a")", R"("aaaa")", R"("ab")"}},
      {R"({"type":"string","format":"date"})",
       {R"("2024-02-29")", R"("2000-02-29")", R"("1999-12-31")"},
       {R"("2023-02-29")", R"("1900-02-29")", R"("0000-01-01")", R"("2023-04-31")",
        R"("2023-13-01")"}},
      {R"({"type":"string","format":"date-time"})",
       {R"("2024-02-29T23:59:59.5+01:00")", R"("2024-01-01T00:00:00Z")"},
       {R"("2024-01-01 00:00:00Z")", R"("2024-01-01T24:00:00Z")"}},
      {R"({"type":"string","format":"ipv4"})",
       {R"("0.10.255.199")"},
       {R"("256.1.1.1")", R"("1.1.1")", R"("01.1.1.1")"}},
      {R"({"type":"string","format":"email"})",
       {R"("a.b+c@d-e.org")"},
       {R"("a@b")", R"(".a@b.c")", R"("a b@c.d")"}},
      {R"({"enum":["a",1,null,true,{"k":[1,"x"]},"é\n"]})",
       {"\"a\"", "1", "null", "true", R"({"k":[1,"x"]})", R"({"k": [1, "x"]})", "\"\xc3\xa9\\n\""},
       {"\"b\"", "2", "{}", R"({"k":[1]})"}},
      {R"({"type":"string","enum":["a",1]})", {"\"a\""}, {"1"}},
      {R"({"const":{"a":{}}})", {R"({"a":{}})"}, {"{}"}},
      {R"({"type":"object"})",
       {"{}", R"({"a":1,"b": [true]})"},
       {"[]", R"({"a"})", R"({"a":1,})", R"({ "a":1})", R"({a:1})"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"null"},"c":{"type":"boolean"}},"required":["b"]})",
       {R"({"b":null})", R"({"a":1,"b":null})", R"({"a":1, "b": null, "c":true})",
        R"({"b":null,"c":false})"},
       {"{}", R"({"a":1})", R"({"b":null,"a":1})", R"({"b":null,"d":1})", R"({"b":null,})",
        R"({"a":1,"a":1,"b":null})", R"({,"b":null})"}},
      {R"({"properties":{"a":{"type":"integer"}},"additionalProperties":{"type":"string"}})",
       {"{}", R"({"a":1})", R"({"b":"x"})", R"({"a":1,"ab":"x","b":"y"})", R"({"":"x"})"},
       {R"({"a":"x"})", R"({"b":1})", R"({"b":"x","a":1})", R"({"b":"x","a":"x"})"}},
      {R"({"type":"object","required":["z"]})",
       {R"({"z":[]})", R"({"z":1,"a":2})"},
       {"{}", R"({"a":1})"}},
      {R"({"type":"array","items":{"type":"integer"}})",
       {"[]", "[1]", "[1,2, 3]"},
       {"[1,]", "[,1]", "[1 ,2]", "[\"a\"]", "[1,  2]"}},
      {R"({"type":"array","items":{"type":"null"},"minItems":2,"maxItems":3})",
       {"[null,null]", "[null,null,null]"},
       {"[]", "[null]", "[null,null,null,null]"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"items":false})",
       {"[]", "[1]", "[1,\"a\"]"},
       {"[\"a\"]", "[1,\"a\",1]"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"}],"items":{"type":"null"},"minItems":2})",
       {"[1,null]", "[1,null,null]"},
       {"[1]", "[null,null]", "[1,1]"}},
      {R"({"type":"array","maxItems":0})", {"[]"}, {"[1]"}},
      {R"({"anyOf":[{"type":"object","properties":{"k":{"const":"a"},"x":{"type":"integer"}},"required":["k","x"]},
                    {"type":"object","properties":{"k":{"const":"b"},"y":{"type":"string"}},"required":["k","y"]}]})",
       {R"({"k":"a","x":1})", R"({"k": "b","y":"z"})"},
       {R"({"k":"a","y":"z"})", R"({"k":"b","x":1})"}},
      {R"({"$defs":{"t":{"type":"object","properties":{"v":{"type":"integer"},"n":{"type":"array","items":{"$ref":"#/$defs/t"}}},"required":["v"]}},"$ref":"#/$defs/t"})",
       {R"({"v":1})", R"({"v":1,"n":[{"v":2,"n":[]},{"v":3}]})"},
       {R"({"n":[]})", R"({"v":1,"n":[{}]})"}},
      {R"({"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},{"properties":{"b":{"type":"null"}}}]})",
       {R"({"a":1})", R"({"a":1,"b":null})"},
       {"{}", R"({"b":null})"}},
      {R"({"type":"object","properties":{"a":{"allOf":[{"type":"number"},{"type":"integer","minimum":3},{"minimum":1,"maximum":9}]}},"required":["a"]})",
       {R"({"a":3})", R"({"a":9})"},
       {R"({"a":2})", R"({"a":10})", R"({"a":3.5})"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"}},"anyOf":[{"required":["a"]},{"properties":{"b":{"type":"null"}},"required":["b"]}]})",
       {R"({"a":1})", R"({"a":1,"b":null})", R"({"b":null})"},
       {"{}"}},
      {"true", {"1", "\"x\"", "[[],{\"a\":{\"b\":null}}]"}, {"", "[", "nul"}},
  };
  for (const Case& c : cases) {
    const auto constraint = compiled(c.schema);
    if (!constraint) continue;
    for (const std::string& text : c.yes)
      EXPECT_TRUE(accepts(constraint, text)) << c.schema << "\n" << text;
    for (const std::string& text : c.no)
      EXPECT_FALSE(accepts(constraint, text)) << c.schema << "\n" << text;
  }
}

TEST(JsonSchema, IntegerLimitsAreExact) {
  Random random(4);
  for (int round = 0; round < 60; ++round) {
    std::int64_t low = static_cast<std::int64_t>(random.below(4000)) - 2000;
    std::int64_t high =
        low + static_cast<std::int64_t>(random.below(random.below(2) == 0 ? 30 : 3000));
    const auto constraint =
        compiled(fmt::format(R"({{"type":"integer","minimum":{},"maximum":{}}})", low, high));
    for (std::int64_t v = -5200; v <= 5200; v += 1 + static_cast<std::int64_t>(random.below(7)))
      ASSERT_EQ(accepts(constraint, std::to_string(v)), low <= v && v <= high)
          << low << " " << high << " " << v;
    for (const std::int64_t v : {low - 1, low, high, high + 1})
      ASSERT_EQ(accepts(constraint, std::to_string(v)), low <= v && v <= high)
          << low << " " << high << " " << v;
  }
}

TEST(JsonSchema, ErrorsNameThePlaceAndTheKeyword) {
  const std::vector<std::pair<const char*, const char*>> cases{
      {R"({"type":"object","properties":{"a":{"type":"integer","multipleOf":3}}})",
       "schema at #/properties/a: 'multipleOf' is not supported"},
      {R"({"type":"strin"})",
       "schema at #: 'type' \"strin\" is not one of object, array, string, number, integer, "
       "boolean, null"},
      {R"({"enum":[]})", "schema at #: 'enum' allows nothing"},
      {R"({"type":"integer","enum":["a"]})", "schema at #: 'enum' allows nothing"},
      {R"({"type":"integer","minimum":3,"maximum":2})",
       "schema at #: no integer lies between its limits"},
      {R"({"type":"integer","exclusiveMinimum":3,"exclusiveMaximum":4})",
       "schema at #: no integer lies between its limits"},
      {R"({"type":"number","exclusiveMinimum":3,"maximum":3})",
       "schema at #: no number lies between its limits"},
      {R"({"type":"number","minimum":0.5})",
       "schema at #: 'minimum' 0.5 of a number: only whole limits are supported"},
      {R"({"type":"string","minLength":3,"maxLength":2})",
       "schema at #: 'minLength' 3 is above 'maxLength' 2"},
      {R"({"type":"array","minItems":3,"prefixItems":[{}],"items":false})",
       "schema at #: 'minItems' 3 is more than 'prefixItems' and 'items' allow"},
      {R"({"type":"object","properties":{"a":{}},"required":["b"]})",
       "schema at #: 'required' property 'b' is not allowed: add it to 'properties'"},
      {R"({"type":"array","items":{"$ref":"#/$defs/x"}})",
       "schema at #/items: '$ref' #/$defs/x points at nothing"},
      {R"({"$ref":"http://x"})",
       "schema at #: '$ref' http://x is not supported: only \"#\" and \"#/...\" are"},
      {R"({"$ref":"#"})",
       "schema at #: '$ref' # leads to itself with no object or array in between"},
      {R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})",
       "schema at #: what it requires never ends within 64 levels: give its recursion an "
       "alternative"},
      {R"({"type":"string","pattern":"(a"})", "schema at #: pattern, character 2: missing )"},
      {R"x({"type":"string","pattern":"a(?=b)"})x",
       "schema at #: pattern, character 3: look-ahead and group options are not supported"},
      {R"({"type":"string","pattern":"^a$","minLength":2})", "schema at #: no string satisfies it"},
      {R"({"type":"string","format":"uri"})",
       "schema at #: 'format' \"uri\" is not supported (date, time, date-time, email, uuid, ipv4 "
       "are)"},
      {R"({"type":"string","maxLength":100000000})",
       "schema at #: the schema is too large: its automaton would pass 400000 states (long lengths "
       "and counts of items, complex patterns)"},
      {R"({"allOf":[{"type":"string"},{"type":"integer"}]})",
       "schema at #: no type is in all parts"},
      {R"({"allOf":[{"type":"string","pattern":"a"},{"pattern":"b"}]})",
       "schema at #: two parts say different things of 'pattern', which cannot be merged"},
      {R"({"properties":{"a":false}})", "schema at #/properties/a: false allows nothing"},
      {R"({"a\nb":1})", "schema at #: 'a b' is not supported"},
      {R"([1])", "schema at #: a schema is an object, true or false"},
  };
  for (const auto& [schema, message] : cases) {
    const auto json = parse_json(schema, "schema");
    ASSERT_TRUE(json) << schema;
    const auto made = Constraint::from_schema(*json, byte_vocabulary());
    ASSERT_FALSE(made) << schema;
    EXPECT_EQ(made.error().message, message);
    EXPECT_EQ(made.error().code, ErrorCode::kUsage);
  }
}

TEST(Constraint, Choices) {
  const std::vector<std::string> choices{"yes", "no", "not sure", "\xc3\xa9"};
  auto made = Constraint::from_choices(choices, byte_vocabulary());
  ASSERT_TRUE(made);
  for (const std::string& choice : choices) EXPECT_TRUE(accepts(*made, choice));
  for (const char* text : {"", "y", "yess", "not", "n"}) EXPECT_FALSE(accepts(*made, text));
  ConstraintState state(*made);
  EXPECT_FALSE(state.finished());
  EXPECT_TRUE(state.accept('n'));
  EXPECT_EQ(state.forced_bytes(), "o");
  EXPECT_TRUE(state.accept('o'));
  EXPECT_TRUE(state.may_end());
  EXPECT_FALSE(state.finished());
  EXPECT_FALSE(state.accept('x'));
  EXPECT_TRUE(state.accept('t'));
  EXPECT_EQ(state.forced_bytes(), " sure");
  EXPECT_FALSE(state.accept(256));  // the end
  EXPECT_TRUE(state.accept_bytes(" sure"));
  EXPECT_TRUE(state.finished());
  std::vector<std::uint32_t> bits(byte_vocabulary()->mask_words());
  EXPECT_TRUE(state.mask(bits));
  EXPECT_EQ(bits[8], 1U);  // the end alone
  EXPECT_TRUE(state.accept(256));
  EXPECT_FALSE(state.mask(bits));
  EXPECT_FALSE(state.accept('a'));
  EXPECT_FALSE(Constraint::from_choices({}, byte_vocabulary()));
  EXPECT_FALSE(state.accept(-1));
  EXPECT_FALSE(state.accept(9999));
}

TEST(Constraint, ForcedBytes) {
  const auto constraint =
      compiled(R"({"type":"object","properties":{"name":{"const":"x"}},"required":["name"]})");
  ConstraintState state(constraint);
  EXPECT_EQ(state.forced_bytes(), "{\"name\":");
  EXPECT_TRUE(state.accept_bytes("{\"name\": "));
  EXPECT_EQ(state.forced_bytes(), "\"x\"}");
  EXPECT_EQ(state.forced_bytes(2), "\"x");
}

// Every token, byte by byte.
void expect_brute_force(const ConstraintState& state, const Vocabulary& vocabulary) {
  ConstraintState asked(state);
  std::vector<std::uint32_t> bits(vocabulary->mask_words());
  asked.mask(bits);
  for (std::size_t i = 0; i < vocabulary->size(); ++i) {
    ConstraintState tried(state);
    const bool allowed = tried.accept(static_cast<TokenId>(i));
    ASSERT_EQ((bits[i / 32] >> (i % 32) & 1U) != 0, allowed)
        << "after " << state.bytes() << " token " << i << " '"
        << vocabulary->bytes(static_cast<TokenId>(i)) << "'";
  }
}

// A model by chance. After `patience` tokens it prefers to end: quotes and closing brackets.
class Writer {
 public:
  Writer(Vocabulary vocabulary, std::uint64_t seed)
      : vocabulary_(std::move(vocabulary)), random_(seed) {}

  // -1: nothing is allowed.
  TokenId next(ConstraintState& state, int written, int patience) {
    std::vector<std::uint32_t> bits(vocabulary_->mask_words());
    state.mask(bits);
    std::vector<TokenId> allowed, closing;
    for (std::size_t i = 0; i < vocabulary_->size(); ++i) {
      if ((bits[i / 32] >> (i % 32) & 1U) == 0) continue;
      const auto id = static_cast<TokenId>(i);
      if (vocabulary_->is_end(id) && (written > patience || random_.below(4) == 0)) return id;
      allowed.push_back(id);
      const char first = vocabulary_->bytes(id)[0];
      if (vocabulary_->bytes(id).size() == 1 && (first == '"' || first == ']' || first == '}'))
        closing.push_back(id);
    }
    if (!closing.empty() && (written > patience || random_.below(6) == 0))
      return closing[random_.below(closing.size())];
    // Numbers and literals end soon; of long texts, short tokens are as good.
    return allowed.empty() ? -1 : allowed[random_.below(allowed.size())];
  }

  // The text, or nothing when it did not end.
  std::optional<std::string> write(const std::shared_ptr<const Constraint>& constraint,
                                   int patience, int most) {
    ConstraintState state(constraint);
    for (int i = 0; i < most; ++i) {
      if (state.finished()) return state.bytes();
      const TokenId token = next(state, i, patience);
      EXPECT_GE(token, 0) << "a dead end after " << state.bytes();
      if (token < 0) return std::nullopt;
      EXPECT_TRUE(state.accept(token)) << token << " after " << state.bytes();
    }
    return std::nullopt;
  }

 private:
  Vocabulary vocabulary_;
  Random random_;
};

const std::vector<const char*>& varied_schemas() {
  static const std::vector<const char*> kSchemas{
      "true",
      R"({"type":"object"})",
      R"({"type":"string","minLength":3,"maxLength":40})",
      R"({"type":"array","items":{"type":"string","maxLength":300,"minLength":100}})",
      R"({"type":"string","pattern":"^[a-z]+( [a-z]+)*$"})",
      R"({"anyOf":[{"type":"string","pattern":"^[a-m]*$"},{"type":"string","maxLength":4},{"type":"array","items":{"type":"string","format":"date"}}]})",
      R"({"type":"object","properties":{"a":{"type":"integer","minimum":-5,"maximum":120},"b":{"type":"array","items":{"enum":["x","yy",null]}},"ab":{"$ref":"#"}},"required":["b"],"additionalProperties":{"type":"number"}})",
      R"({"$defs":{"t":{"anyOf":[{"type":"null"},{"type":"array","items":{"$ref":"#/$defs/t"},"maxItems":2},{"type":"array","prefixItems":[{"$ref":"#/$defs/t"},{"type":"boolean"}],"items":false}]}},"$ref":"#/$defs/t"})",
      R"({"anyOf":[{"type":"object","properties":{"k":{"const":"a"},"v":{"type":"object"}},"required":["k","v"]},{"type":"object","properties":{"k":{"const":"ab"},"v":{"type":"array"}},"required":["k","v"]}]})",
      R"({"type":["integer","number","string","null"]})",
  };
  return kSchemas;
}

TEST(Constraint, MasksEqualBruteForce) {
  for (const Vocabulary& vocabulary : {byte_vocabulary(), piece_vocabulary()}) {
    Writer writer(vocabulary, 8);
    for (const char* schema : varied_schemas()) {
      SCOPED_TRACE(schema);
      const auto constraint = compiled(schema, vocabulary);
      for (int round = 0; round < 4; ++round) {
        ConstraintState state(constraint);
        for (int i = 0; i < 25; ++i) {
          expect_brute_force(state, vocabulary);
          if (testing::Test::HasFatalFailure()) return;
          const TokenId token = writer.next(state, i, 15);
          if (token < 0 || !state.accept(token) || state.finished()) break;
        }
      }
    }
  }
}

TEST(Constraint, LongStringsShareMasksAndCountExactly) {
  const auto constraint =
      compiled(R"({"type":"array","items":{"type":"string","minLength":150,"maxLength":400}})",
               piece_vocabulary());
  for (const int length : {0, 1, 100, 130, 145, 149, 150, 151, 200, 360, 390, 398, 399, 400}) {
    ConstraintState state(constraint);
    std::string text = "[\"";
    for (int i = 0; i < length; ++i) text += i % 3 == 0 ? "\xc3\xa9" : "a";
    ASSERT_TRUE(state.accept_bytes(text));
    expect_brute_force(state, piece_vocabulary());
    if (length < 400) {
      ASSERT_TRUE(state.accept_bytes("\xe6"));
      expect_brute_force(state, piece_vocabulary());
    }
  }
}

TEST(Constraint, DepthIsBoundedWithoutDeadEnds) {
  const auto any = compiled("true", piece_vocabulary());
  EXPECT_TRUE(accepts(any, std::string(64, '[') + std::string(64, ']')));
  EXPECT_FALSE(accepts(any, std::string(65, '[') + std::string(65, ']')));
  for (
      const char* schema :
      {"true",
       // Whoever opens one of these must open two more.
       R"({"$defs":{"t":{"anyOf":[{"type":"integer"},{"type":"array","items":{"type":"array","items":{"type":"array","items":{"$ref":"#/$defs/t"},"minItems":1},"minItems":1},"minItems":1}]}},"$ref":"#/$defs/t"})"}) {
    const auto constraint = compiled(schema, piece_vocabulary());
    for (int depth = 55; depth <= 64; ++depth) {
      ConstraintState state(constraint);
      if (!state.accept_bytes(std::string(static_cast<std::size_t>(depth), '['))) continue;
      expect_brute_force(state, piece_vocabulary());
      // It can be brought to its end.
      Writer writer(piece_vocabulary(), static_cast<std::uint64_t>(depth));
      int i = 0;
      for (; i < 3000 && !state.finished(); ++i) {
        const TokenId token = writer.next(state, i, 0);
        ASSERT_GE(token, 0) << state.bytes();
        ASSERT_TRUE(state.accept(token));
      }
      EXPECT_LT(i, 3000);
    }
  }
}

TEST(Constraint, RandomOutputsAreJson) {
  for (const Vocabulary& vocabulary : {byte_vocabulary(), piece_vocabulary()}) {
    Writer writer(vocabulary, 2);
    int unfinished = 0;
    for (const char* schema : varied_schemas()) {
      const auto constraint = compiled(schema, vocabulary);
      for (int i = 0; i < 20; ++i) {
        const auto text = writer.write(constraint, 40, 4000);
        if (!text) {
          ++unfinished;
          continue;
        }
        EXPECT_TRUE(parse_json(*text, "output")) << *text;
        EXPECT_TRUE(accepts(constraint, *text));
      }
    }
    EXPECT_LT(unfinished, 3);
  }
}

TEST(Constraint, ThreadsShareOne) {
  const auto constraint = compiled("true", piece_vocabulary());
  const auto written = [&](std::uint64_t seed) {
    Writer writer(piece_vocabulary(), seed);
    std::string all;
    for (int i = 0; i < 10; ++i) all += writer.write(constraint, 30, 4000).value_or("?");
    return all;
  };
  std::vector<std::string> alone, together(4);
  for (std::uint64_t s = 0; s < 4; ++s) alone.push_back(written(s));
  std::vector<std::thread> threads;
  for (std::uint64_t s = 0; s < 4; ++s) threads.emplace_back([&, s] { together[s] = written(s); });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(alone, together);
}

// A machine that remembers little forgets again and again, and says the same.
TEST(Constraint, ForgettingChangesNothing) {
  for (const char* schema : varied_schemas()) {
    SCOPED_TRACE(schema);
    auto grammar = compile_json_schema(*parse_json(schema, "schema"));
    ASSERT_TRUE(grammar);
    auto machine = std::make_unique<ConstraintMachine>(*std::move(grammar), byte_vocabulary(), 150);
    const ConstraintMachine& small = *machine;
    const auto forgetful = std::make_shared<const Constraint>(std::move(machine));
    const auto constraint = compiled(schema);
    Writer writer(byte_vocabulary(), 4);
    std::vector<std::uint32_t> bits(byte_vocabulary()->mask_words()), same(bits);
    for (int i = 0; i < 10; ++i) {
      ConstraintState a(constraint), b(forgetful);
      for (int t = 0; t < 400; ++t) {
        ASSERT_EQ(a.mask(bits), b.mask(same));
        ASSERT_EQ(bits, same) << a.bytes();
        const TokenId token = writer.next(a, t, 200);
        if (token < 0 || !a.accept(token)) break;
        ASSERT_TRUE(b.accept(token)) << a.bytes();
      }
      EXPECT_LE(small.states(), 150U);
    }
    if (std::string_view(schema).find("300") != std::string_view::npos) {
      EXPECT_GT(small.generation(), 3U);
    }
  }
}

// For tools/golden/json_schema.py: TACK_SCHEMA_CASES has lines {"schema", "documents", "samples"},
// TACK_SCHEMA_ANSWERS gets {"error"} or {"accepts", "samples"} for each.
TEST(Constraint, Parity) {
  const char* cases = std::getenv("TACK_SCHEMA_CASES");
  const char* answers = std::getenv("TACK_SCHEMA_ANSWERS");
  if (cases == nullptr || answers == nullptr)
    GTEST_SKIP() << "set TACK_SCHEMA_CASES and TACK_SCHEMA_ANSWERS";
  const Vocabulary file_vocabulary = vocabulary_file();
  std::ifstream in(cases);
  std::ofstream out(answers);
  std::uint64_t seed = 1;
  for (std::string line; std::getline(in, line);) {
    const auto parsed = parse_json(line, "case");
    ASSERT_TRUE(parsed) << line;
    Json answer = Json::object();
    const auto constraint = Constraint::from_schema((*parsed)["schema"], byte_vocabulary());
    if (!constraint) {
      answer["error"] = constraint.error().message;
      out << to_text(answer) << "\n";
      continue;
    }
    answer["accepts"] = Json::array();
    for (const Json& document : (*parsed)["documents"])
      answer["accepts"].push_back(accepts(*constraint, document.get<std::string>()));
    answer["samples"] = Json::array();
    for (const Vocabulary& vocabulary : {byte_vocabulary(), piece_vocabulary(), file_vocabulary}) {
      if (!vocabulary) continue;
      const auto own = Constraint::from_schema((*parsed)["schema"], vocabulary);
      ASSERT_TRUE(own);
      Writer writer(vocabulary, ++seed);
      for (std::int64_t i = (*parsed)["samples"].get<std::int64_t>(); i > 0; --i) {
        const auto text = writer.write(*own, 60, 4000);
        if (text)
          answer["samples"].push_back(*text);
        else
          answer["samples"].push_back(nullptr);
      }
    }
    out << to_text(answer) << "\n";
  }
}

TEST(Constraint, FileVocabularyMasksEqualBruteForce) {
  const Vocabulary vocabulary = vocabulary_file();
  if (!vocabulary) GTEST_SKIP() << "set TACK_TOKEN_BYTES";
  Writer writer(vocabulary, 9);
  int states = 0;
  for (const char* schema : varied_schemas()) {
    SCOPED_TRACE(schema);
    const auto constraint = compiled(schema, vocabulary);
    ConstraintState state(constraint);
    for (int i = 0; i < 20; ++i, ++states) {
      expect_brute_force(state, vocabulary);
      if (testing::Test::HasFatalFailure()) return;
      const TokenId token = writer.next(state, i, 12);
      if (token < 0 || !state.accept(token) || state.finished()) break;
    }
  }
  std::printf("%d states of %zu tokens\n", states, vocabulary->size());
}

// TACK_BENCH=1 prints the time of masks, for the vocabulary of TACK_TOKEN_BYTES or one made up.
TEST(Constraint, Bench) {
  if (std::getenv("TACK_BENCH") == nullptr) GTEST_SKIP() << "set TACK_BENCH=1";
  Vocabulary vocabulary = vocabulary_file();
  if (!vocabulary) vocabulary = vocabulary_of(piece_tokens(128000, 1));
  std::printf("%zu tokens, %u and %u nodes\n", vocabulary->size(), vocabulary->plain().size(),
              vocabulary->rest().size());
  // Of this thread alone, so that other programs do not count.
  const auto now = [] {
    std::timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) * 1e-3;
  };
  for (const char* schema : varied_schemas()) {
    const double begin = now();
    const auto constraint = compiled(schema, vocabulary);
    const double compile = now() - begin;
    Writer writer(vocabulary, 5);
    std::vector<double> times, first;
    std::vector<std::uint32_t> bits(vocabulary->mask_words());
    for (int output = 0; output < 40; ++output) {
      ConstraintState state(constraint);
      for (int i = 0; i < 200 && !state.finished(); ++i) {
        const double at = now();
        state.mask(bits);
        (output < 1 ? first : times).push_back(now() - at);
        const TokenId token = writer.next(state, i, 100);
        if (token < 0 || !state.accept(token)) break;
      }
    }
    std::ranges::sort(times);
    if (times.empty()) times.push_back(0);
    std::printf(
        "compile %7.0f us; first output, worst %7.1f us; later: median %6.1f, 99%% %7.1f, worst "
        "%7.1f us (%zu) %.70s\n",
        compile, *std::ranges::max_element(first), times[times.size() / 2],
        times[times.size() * 99 / 100], times.back(), times.size(), schema);
  }
}

}  // namespace
}  // namespace tack
