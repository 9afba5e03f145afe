// Language and length.
#include <algorithm>

#include <fmt/ranges.h>

#include "guard/check.h"
#include "guard/passage_windows.h"
#include "text/language.h"

namespace tack::guard {
namespace {

class LanguageCheck : public Check {
 public:
  explicit LanguageCheck(std::vector<std::string> allowed) : allowed_(std::move(allowed)) {}

  void judge(SeenSubject& subject, std::span<const Told>, Finding& finding) const override {
    constexpr std::size_t kEnough = 200;  // bytes, of an answer that goes on
    SeenPassage* passage = subject.latest();
    if (passage == nullptr || (!subject.complete() && passage->raw().size() < kEnough)) return;
    const std::string language = detect_language(passage->normal().text);
    if (language.empty() || std::ranges::find(allowed_, language) != allowed_.end()) return;
    finding.tripped = true;
    finding.category = language;
    finding.reason = fmt::format("{} is in the language '{}'; allowed: {}",
                                 place_of(subject, *passage), language, fmt::join(allowed_, ", "));
  }

 private:
  std::vector<std::string> allowed_;
};

std::int64_t characters(std::string_view text) {
  return std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
}

class LengthCheck : public Check {
 public:
  explicit LengthCheck(const CheckConfig& config)
      : least_(config.min_chars), most_(config.max_chars), tokens_(config.max_tokens) {}

  void judge(SeenSubject& subject, std::span<const Told>, Finding& finding) const override {
    std::int64_t chars = 0, tokens = 0;
    std::vector<SeenPassage*> counted;
    if (subject.stage() == Stage::kOutput && subject.latest() != nullptr)
      counted.push_back(subject.latest());
    else
      for (SeenPassage& passage : subject.all()) counted.push_back(&passage);
    for (const SeenPassage* passage : counted) {
      chars += characters(passage->raw());
      if (tokens_) tokens += estimate_tokens(passage->raw());
    }
    const std::string_view what =
        subject.stage() == Stage::kOutput ? "the answer has" : "the messages have";
    if (most_ && chars > *most_)
      trip(finding, "max_chars", fmt::format("{} {} characters; at most {}", what, chars, *most_));
    else if (tokens_ && tokens > *tokens_)
      trip(finding, "max_tokens",
           fmt::format("{} about {} tokens; at most {}", what, tokens, *tokens_));
    else if (least_ && subject.complete() && chars < *least_)
      trip(finding, "min_chars",
           fmt::format("{} {} characters; at least {}", what, chars, *least_));
  }

 private:
  static void trip(Finding& finding, std::string category, std::string reason) {
    finding.tripped = true;
    finding.category = std::move(category);
    finding.reason = std::move(reason);
  }

  std::optional<std::int64_t> least_, most_, tokens_;
};

}  // namespace

MadeCheck make_language_check(const CheckConfig& config) {
  if (config.only.empty())
    return fail(ErrorCode::kUsage,
                "only is missing: the languages that may pass, such as [\"en\"]");
  for (const std::string& code : config.only)
    if (code.size() < 2 || code.size() > 3 ||
        !std::ranges::all_of(code, [](char c) { return c >= 'a' && c <= 'z'; }))
      return fail(ErrorCode::kUsage, "only: '{}' is no code of ISO 639-1, such as \"de\"", code);
  return std::make_unique<LanguageCheck>(config.only);
}

MadeCheck make_length_check(const CheckConfig& config) {
  if (!config.min_chars && !config.max_chars && !config.max_tokens)
    return fail(ErrorCode::kUsage, "none of min_chars, max_chars and max_tokens is set");
  if (config.min_chars && config.max_chars && *config.min_chars > *config.max_chars)
    return fail(ErrorCode::kUsage, "max_chars is below min_chars: no text is like that");
  return std::make_unique<LengthCheck>(config);
}

}  // namespace tack::guard
