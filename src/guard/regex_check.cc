// Regular expressions of RE2: linear in the text, whatever the pattern.
#include <re2/re2.h>
#include <re2/set.h>

#include "guard/check.h"

namespace tack::guard {
namespace {

re2::StringPiece piece(std::string_view text) {
  return {text.data(), text.size()};
}

RE2::Options options() {
  RE2::Options options;
  options.set_log_errors(false);
  return options;
}

class RegexCheck : public Check {
 public:
  RegexCheck(std::vector<std::unique_ptr<const RE2>> patterns, std::unique_ptr<const RE2::Set> set)
      : patterns_(std::move(patterns)), set_(std::move(set)) {}

  void judge(SeenSubject& subject, std::span<const Told>, Finding& finding) const override {
    for (SeenPassage* passage : subject.untrusted())
      for (const std::string_view text : passage->readings())
        if (const int found = first_match(text); found >= 0) {
          finding.tripped = true;
          finding.category = patterns_[static_cast<std::size_t>(found)]->pattern();
          finding.reason = fmt::format("{} matches pattern {} of this check",
                                       place_of(subject, *passage), found + 1);
          return;
        }
  }

  // A match may run over spaces: those that began in the last kBefore bytes before the last word
  // are waited for, others are found when they are complete.
  std::size_t held_back(SeenPassage& answer) const override {
    constexpr std::size_t kBefore = 64;
    const std::string_view text = answer.raw();
    const std::size_t space = text.find_last_of(" \n\t\r");
    const std::size_t run = space == std::string_view::npos ? text.size() : text.size() - space - 1;
    return std::min(text.size(), run + kBefore);
  }

 private:
  // The number of the first pattern that the text has; -1: none.
  int first_match(std::string_view text) const {
    if (set_ != nullptr) {
      std::vector<int> found;
      RE2::Set::ErrorInfo error{RE2::Set::kNoError};
      if (set_->Match(piece(text), &found, &error)) return *std::ranges::min_element(found);
      if (error.kind == RE2::Set::kNoError) return -1;
    }
    // Without the set's automaton, when its memory did not last.
    for (std::size_t i = 0; i < patterns_.size(); ++i)
      if (RE2::PartialMatch(piece(text), *patterns_[i])) return static_cast<int>(i);
    return -1;
  }

  std::vector<std::unique_ptr<const RE2>> patterns_;
  std::unique_ptr<const RE2::Set> set_;  // of several patterns
};

}  // namespace

MadeCheck make_regex_check(const CheckConfig& config) {
  if (config.patterns.empty())
    return fail(ErrorCode::kUsage, "patterns is missing: the expressions that must not match");
  std::vector<std::unique_ptr<const RE2>> patterns;
  auto set = std::make_unique<RE2::Set>(options(), RE2::UNANCHORED);
  for (const std::string& text : config.patterns) {
    auto pattern = std::make_unique<const RE2>(text, options());
    if (!pattern->ok())
      return fail(ErrorCode::kUsage,
                  "patterns: '{}' cannot be used: {}; look-around and back-references are left out "
                  "since they take unbounded time",
                  text, pattern->error());
    if (RE2::PartialMatch("", *pattern))
      return fail(ErrorCode::kUsage, "patterns: '{}' matches the empty text, so every text", text);
    if (set->Add(text, nullptr) < 0)
      return fail(ErrorCode::kUsage, "patterns: '{}' cannot be used beside the others", text);
    patterns.push_back(std::move(pattern));
  }
  if (patterns.size() < 2 || !set->Compile()) set.reset();
  return std::make_unique<RegexCheck>(std::move(patterns), std::move(set));
}

}  // namespace tack::guard
