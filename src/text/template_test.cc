#include "text/template.h"

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

namespace tack {
namespace {

std::string rendered(std::string_view source, const Json& variables = Json::object()) {
  const auto parsed = Template::parse(source);
  if (!parsed) return "error: " + parsed.error().message;
  const auto text = parsed->render(variables, 0);
  return text ? *text : "error: " + text.error().message;
}

// Cases of tools/golden/chat_templates.py: what Jinja2 made of them, in Python.
void compare(const std::string& path) {
  std::ifstream file(path);
  ASSERT_TRUE(file) << path;
  const Json golden = Json::parse(file);
  setenv("TZ", "UTC", 1);
  std::size_t different = 0, templates = 0;
  std::vector<std::optional<Result<Template>>> parsed(golden["templates"].size());
  for (const Json& one : golden["cases"]) {
    auto& made = parsed[one[0].get<std::size_t>()];
    const auto& source =
        golden["templates"][one[0].get<std::size_t>()].get_ref<const std::string&>();
    if (!made) made = Template::parse(source), ++templates;
    const Json& variables = golden["variables"][one[1].get<std::size_t>()];
    const Result<std::string> text =
        *made ? (*made)->render(variables, golden["now"].get<std::time_t>())
              : std::unexpected((*made).error());
    const bool same = one[2].is_null()
                          ? !text && (one[3].is_null() || Json(text.error().message) == one[3])
                          : text && *text == one[2].get_ref<const std::string&>();
    if (same) continue;
    if (++different > 20) continue;
    ADD_FAILURE() << "template: " << source.substr(0, 1500)
                  << "\nvariables: " << to_text(variables).substr(0, 1500)
                  << "\nexpected: " << to_text(one[2]) << " " << to_text(one[3]) << "\ngot:      "
                  << (text ? to_text(Json(*text)) : "error " + text.error().message);
  }
  EXPECT_EQ(different, 0u);
  std::cout << golden["cases"].size() << " cases of " << templates << " templates, " << different
            << " different\n";
}

TEST(Template, AsJinja) {
  compare(std::string(TACK_SOURCE_DIR) + "/tests/golden/chat_templates.json");
}

// More than the repository holds.
TEST(Template, Cases) {
  const char* path = std::getenv("TACK_TEMPLATE_CASES");
  if (path == nullptr) GTEST_SKIP() << "TACK_TEMPLATE_CASES names no file";
  compare(path);
}

TEST(Template, ErrorsSayWhere) {
  EXPECT_EQ(rendered("a\n{{ x.y }}"), "error: chat template, line 2: 'x' is undefined");
  EXPECT_EQ(rendered("\n\n{% if %}"), "error: chat template, line 3: unexpected end of a tag");
  EXPECT_EQ(rendered("{% if 1 %}\n"), "error: chat template, line 1: 'endif' is missing");
  EXPECT_EQ(rendered("{{ x|shout }}"), "error: chat template, line 1: no filter named 'shout'");
  EXPECT_EQ(rendered("{% include 'x' %}"),
            "error: chat template, line 1: the tag 'include' is not known");
  EXPECT_EQ(rendered("{{ raise_exception('no\nsystem') }}"), "error: no system");
  const auto raises = Template::parse("{{ raise_exception('x') }}");
  ASSERT_TRUE(raises);
  EXPECT_EQ(raises->render(Json::object()).error().code, ErrorCode::kUsage);
  EXPECT_FALSE(raises->render(Json::array()));
}

TEST(Template, WhatBlowsUpIsAnError) {
  const auto refused = [](std::string_view source, std::string_view why) {
    const std::string text = rendered(source);
    EXPECT_TRUE(text.starts_with("error: ") && text.find(why) != text.npos)
        << source.substr(0, 200) << " -> " << text.substr(0, 200);
  };
  const std::string many = "{% for a in range(9999) %}{% for b in range(9999) %}";
  refused(many + "{% endfor %}{% endfor %}", "too long");
  refused("{{ 'x' * 999999999 }}", "too much text");
  refused("{{ [1] * 999999999 }}", "too much text");
  refused("{{ range(100001)|list }}", "too big");
  refused("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "too deep");
  refused(
      "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor "
      "%}",
      "too much text");
  refused("{% set n = namespace(x=[]) %}{% for i in range(999) %}{% set n.x = [n.x] %}{% endfor %}",
          "too deep");
  refused(
      "{% set n = namespace(x=[]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor "
      "%}{{ n.x }}",
      "too");
  refused("{% set n = namespace() %}{% set n.n = n %}{{ n }}", "too deep");
  refused("{{ 9223372036854775807 + 1 }}", "too large");
  refused("{{ 99999999999999999999 }}", "too large");
  refused("{{ " + std::string(5000, '(') + "1" + std::string(5000, ')') + " }}", "too deep");
  refused("{{ " + std::string(5000, '-') + "1 }}", "too deep");
  std::string sum = "1", blocks;
  for (int i = 0; i < 5000; ++i) sum += "+1", blocks += "{% if 1 %}";
  refused("{{ " + sum + " }}", "too deep");
  refused(blocks, "too deep");
  refused("{{ 'x'|indent(99999999999) }}", "too much text");
  refused("{{ ([1] * 9999)|tojson(separators=('x' * 1000000, '')) }}", "too much text");
}

// Each operation is one step, and would read megabytes.
TEST(Template, LongTextsCostSteps) {
  const std::string start = "{% set a = 'x' * 8000000 %}{% set b = a ~ '' %}";
  for (const char* slow : {"a == b", "a|length", "a in b", "a[7000000]", "{a: 1}[b]",
                           "a.startswith(b)", "a.find('x' * 4000000 ~ 'y')", "a ~ 1"}) {
    const std::string text =
        rendered(start + "{% for i in range(99999) %}{% set c = " + slow + " %}{% endfor %}");
    EXPECT_TRUE(text.find("too long") != text.npos || text.find("too much text") != text.npos)
        << slow << " -> " << text.substr(0, 200);
  }
  std::string names = "{% set x = {";
  for (int i = 0; i < 60000; ++i) names += "'" + std::to_string(i) + "':1,";
  EXPECT_NE(rendered(names + "} %}").find("too long"), std::string::npos);
  EXPECT_NE(rendered(std::string(2 << 20, 'x')).find("more than"), std::string::npos);
}

TEST(Template, TakesWhatIsNoUtf8) {
  EXPECT_EQ(rendered("{{ s|length }}{{ s|upper|trim }}", {{"s", "a\xff\xc3"}}), "3A\xff\xc3");
}

}  // namespace
}  // namespace tack
