#include "gateway/rules.h"

#include <algorithm>
#include <cctype>

#include <fmt/ranges.h>

#include "text/language.h"

namespace tack::gateway {
namespace {

char lower(char c) {
  return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}

// Without regard to case of ASCII letters, as a whole word where the word's ends are letters.
bool contains_word(std::string_view text, std::string_view word) {
  const auto is_letter = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  auto from = text.begin();
  while (!word.empty()) {
    const auto at = std::search(from, text.end(), word.begin(), word.end(),
                                [](char a, char b) { return lower(a) == lower(b); });
    if (at == text.end()) return false;
    const auto end = at + static_cast<std::ptrdiff_t>(word.size());
    const bool begins = at == text.begin() || !is_letter(*(at - 1)) || !is_letter(word.front());
    const bool ends = end == text.end() || !is_letter(*end) || !is_letter(word.back());
    if (begins && ends) return true;
    from = at + 1;
  }
  return false;
}

// Collects what holds until something does not.
class Conditions {
 public:
  // Every condition: whether it is set, whether it holds, what to say of it.
  template <class... Args>
  void check(bool set, bool holds, fmt::format_string<Args...> what, Args&&... args) {
    if (!set || !verdict_.holds) return;
    std::string text = fmt::format(what, std::forward<Args>(args)...);
    if (!holds) {
      verdict_ = {false, std::move(text)};
      return;
    }
    verdict_.why += (verdict_.why.empty() ? "" : ", ") + text;
  }
  bool holds() const { return verdict_.holds; }
  Verdict verdict() const { return verdict_; }

 private:
  Verdict verdict_{true, ""};
};

}  // namespace

Verdict check_conditions(const RuleConfig& rule, const CallFacts& facts) {
  Conditions all;
  all.check(!rule.keys.empty(), std::ranges::find(rule.keys, facts.client) != rule.keys.end(),
            "the key is '{}'", facts.client);
  for (const auto& [name, value] : rule.headers) {
    const std::string* sent = facts.headers.find(name);
    all.check(true, sent != nullptr && *sent == value, "{} is '{}'", name,
              sent != nullptr ? *sent : "");
  }
  const bool long_enough = facts.chars >= rule.min_chars.value_or(0);
  const bool short_enough = facts.chars <= rule.max_chars.value_or(facts.chars);
  all.check(rule.min_chars || rule.max_chars, long_enough && short_enough, "{} characters",
            facts.chars);
  all.check(rule.tools.has_value(), facts.tools == rule.tools.value_or(false), "{} tools",
            facts.tools ? "has" : "no");
  all.check(rule.images.has_value(), facts.images == rule.images.value_or(false), "{} images",
            facts.images ? "has" : "no");
  if (!rule.contains.empty() && all.holds()) {
    const auto word = std::ranges::find_if(
        rule.contains, [&](const std::string& w) { return contains_word(facts.whole, w); });
    const bool found = word != rule.contains.end();
    all.check(true, found, "{}{}", found ? "says '" : "has none of the words",
              found ? *word + "'" : "");
  }
  if (!rule.languages.empty() && all.holds()) {
    const std::string language = detect_language(facts.text);
    all.check(true, std::ranges::find(rule.languages, language) != rule.languages.end(),
              "the language is {}", language.empty() ? "not clear" : "'" + language + "'");
  }
  return all.verdict();
}

Verdict check_intent(const RuleConfig::Intent& wanted, const LocalModels::Intent& found) {
  if (found.out_of_scope)
    return {wanted.out_of_scope, fmt::format("{} finds the text out of scope", wanted.model)};
  const std::string said = fmt::format("{} says '{}' with probability {:.2f}", wanted.model,
                                       found.label, found.probability);
  if (wanted.out_of_scope) return {false, said};
  const bool of_these =
      wanted.labels.empty() || std::ranges::find(wanted.labels, found.label) != wanted.labels.end();
  return {of_these && found.probability >= wanted.min_probability, said};
}

}  // namespace tack::gateway
