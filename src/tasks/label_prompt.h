// What `tack label` asks a chat model, and which label its answer names.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace tack {

// The labels an answer may name.
class LabelSet {
 public:
  // Labels are trimmed. kUsage for fewer than two, an empty one, or two that differ in case only.
  static Result<LabelSet> create(const std::vector<std::string>& labels);

  const std::vector<std::string>& names() const { return names_; }
  // "- billing\n- delivery": how prompts list them.
  std::string list() const;

  // The label that the whole answer is, whatever its case. White space around it, a list's dash, a
  // full stop, quotes, **, a code fence, {"label": ...} and <think>...</think> before it do not
  // count; other words do: a label somewhere in a sentence is no match.
  std::optional<std::string> match(std::string_view answer) const;

 private:
  std::vector<std::string> names_;
  std::map<std::string, std::string> by_folded_;  // case-folded name to name
};

// A prompt with {{text}} and {{labels}} in it. It is cut up once, so that braces inside a text stay
// what they are.
class PromptTemplate {
 public:
  PromptTemplate();  // the built-in one
  // `name` stands in errors. kUsage for a template without {{text}}, or with another name in {{}}.
  static Result<PromptTemplate> parse(std::string_view text, std::string_view name);

  std::string render(std::string_view text, const LabelSet& labels) const;

 private:
  struct Piece {
    enum class Kind { kLiteral, kText, kLabels } kind;
    std::string literal;
  };
  explicit PromptTemplate(std::vector<Piece> pieces) : pieces_(std::move(pieces)) {}
  std::vector<Piece> pieces_;
};

// What is said after an answer outside the set.
std::string label_correction(const LabelSet& labels);

}  // namespace tack
