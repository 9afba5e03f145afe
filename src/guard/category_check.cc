// Unsafe content and injected instructions: a head with one label for what may pass, and others.
#include <algorithm>
#include <array>

#include <fmt/ranges.h>

#include "guard/ask_texts.h"
#include "guard/check.h"
#include "guard/model_head.h"

namespace tack::guard {
namespace {

struct CategoryRules {
  std::vector<std::size_t> together;                   // labels that are summed up
  double threshold = 0.5;                              // of the sum
  std::vector<std::pair<std::size_t, double>> single;  // labels with a threshold of their own

  std::size_t first_label() const {
    if (!together.empty()) return together.front();
    return single.empty() ? 0 : single.front().first;
  }
};

constexpr std::array<std::string_view, 3> kPassing{"safe", "none", "benign"};

bool passes(std::string_view label) {
  return std::ranges::find(kPassing, label) != kPassing.end();
}

// What one text is: the rule that it passes by most, or comes nearest to.
struct Judged {
  double score = 0, threshold = 0.5;
  std::size_t category = 0;
  double excess() const { return score - threshold; }
};

class CategoryCheck : public Check {
 public:
  CategoryCheck(CheckKind kind, ModelHead head, CategoryRules rules)
      : kind_(kind), head_(std::move(head)), rules_(std::move(rules)) {}

  const Model* model() const override { return &head_.model; }

  std::vector<Ask> asks(SeenSubject& subject) const override {
    if (subject.stage() == Stage::kOutput) return ask_answer(subject, head_.context);
    if (kind_ == CheckKind::kUnsafe) {
      std::vector<SeenPassage*> said = subject.untrusted();
      std::erase_if(said, [](const SeenPassage* p) { return p->role() == Role::kTool; });
      return ask_texts(said, newest(subject, said), head_.context);
    }
    const std::vector<SeenPassage*> direct = subject.of(Role::kUser);
    const std::vector<SeenPassage*> indirect = subject.of(Role::kTool);
    std::vector<Ask> asks = ask_texts(direct, newest(subject, direct), head_.context);
    std::ranges::move(ask_texts(indirect, newest(subject, indirect), head_.context),
                      std::back_inserter(asks));
    return asks;
  }

  void judge(SeenSubject& subject, std::span<const Told> told, Finding& finding) const override {
    Judged worst{.score = 0, .threshold = rules_.threshold, .category = rules_.first_label()};
    const Ask* where = nullptr;
    for (const Told& one : told) {
      const Prediction* prediction = head_.of(one);
      if (prediction == nullptr || prediction->truncated > 0) {
        finding.failed = true;
        finding.reason = prediction == nullptr
                             ? "the model's answer does not fit its labels"
                             : "a part of the text was cut off before the model saw it";
        if (prediction == nullptr) continue;
      }
      const Judged judged = judge_one(*prediction);
      if (where != nullptr && judged.excess() <= worst.excess()) continue;
      worst = judged;
      where = one.ask;
    }
    finding.score = worst.score;
    finding.threshold = worst.threshold;
    if (where == nullptr || worst.excess() < 0) return;
    finding.tripped = true;
    finding.failed = false;
    finding.category = head_.head.labels[worst.category];
    finding.reason = reason(subject, *where, finding.category);
  }

 private:
  // The first of `passages` that no turn before this one has shown to the check: the user's last
  // message, and what tools have said since.
  static std::size_t newest(SeenSubject& subject, std::span<SeenPassage* const> passages) {
    const SeenPassage* latest = subject.latest();
    const std::size_t from = latest == nullptr ? 0 : latest->number();
    return static_cast<std::size_t>(
        std::ranges::lower_bound(passages, from, {}, &SeenPassage::number) - passages.begin());
  }

  Judged judge_one(const Prediction& prediction) const {
    const auto& p = prediction.probabilities;
    Judged best{.score = 0, .threshold = rules_.threshold, .category = rules_.first_label()};
    double sum = 0, most = -1;
    for (const std::size_t label : rules_.together) {
      const double one = static_cast<double>(p[label]);
      sum = head_.head.calibration.multilabel ? std::max(sum, one) : sum + one;
      if (one > most) most = one, best.category = label;
    }
    if (!rules_.together.empty()) best.score = std::clamp(sum, 0.0, 1.0);
    bool first = rules_.together.empty();
    for (const auto& [label, threshold] : rules_.single) {
      const Judged one{static_cast<double>(p[label]), threshold, label};
      if (first || one.excess() > best.excess()) best = one;
      first = false;
    }
    return best;
  }

  std::string reason(const SeenSubject& subject, const Ask& where,
                     std::string_view category) const {
    const std::string place = place_of(subject, where.passage);
    const std::string in = where.hidden.empty() ? "" : fmt::format(", hidden as {}", where.hidden);
    if (kind_ == CheckKind::kUnsafe)
      return fmt::format("{} looks like unsafe content of the category '{}'{}", place, category,
                         in);
    return fmt::format("{} looks like an attempt to take over the model's instructions{}", place,
                       in);
  }

  CheckKind kind_;
  ModelHead head_;
  CategoryRules rules_;
};

Result<CategoryRules> rules_of(const CheckConfig& config, const ModelHead& head) {
  CategoryRules rules;
  std::vector<std::size_t> counted;
  for (const std::string& name : config.only) {
    TACK_TRY(counted.emplace_back(), head.label(name));
  }
  if (config.only.empty()) {
    for (std::size_t i = 0; i < head.head.labels.size(); ++i)
      if (!passes(head.head.labels[i])) counted.push_back(i);
    if (counted.size() == head.head.labels.size() && !head.head.calibration.multilabel)
      return fail(ErrorCode::kUsage,
                  "the model '{}' has none of the labels '{}': say by only which labels trip; it "
                  "has: {}",
                  head.model.name, fmt::join(kPassing, "', '"), fmt::join(head.head.labels, ", "));
  }
  const bool own = config.threshold || !config.thresholds.empty();
  const auto& thresholds = own ? config.thresholds : head.thresholds.categories;
  rules.threshold = config.threshold.value_or(head.thresholds.score.value_or(0.5));
  for (const auto& [name, threshold] : thresholds) {
    TACK_TRY(const std::size_t label, head.label(name));
    if (std::ranges::find(counted, label) == counted.end()) {
      if (!own) continue;
      return fail(ErrorCode::kUsage,
                  "thresholds: '{}' is no label that trips; those are named by "
                  "only",
                  name);
    }
    rules.single.emplace_back(label, threshold);
    std::erase(counted, label);
  }
  rules.together = std::move(counted);
  return rules;
}

MadeCheck make(CheckKind kind, std::string_view usual, const CheckConfig& config,
               const GuardConfig& guard, const FindModel& models) {
  TACK_TRY(ModelHead head, find_model_head(config, guard, models, usual));
  TACK_TRY(CategoryRules rules, rules_of(config, head));
  return std::make_unique<CategoryCheck>(kind, std::move(head), std::move(rules));
}

}  // namespace

MadeCheck make_unsafe_check(const CheckConfig& config, const GuardConfig& guard,
                            const FindModel& models) {
  return make(CheckKind::kUnsafe, "harm", config, guard, models);
}

MadeCheck make_injection_check(const CheckConfig& config, const GuardConfig& guard,
                               const FindModel& models) {
  return make(CheckKind::kInjection, "injection", config, guard, models);
}

}  // namespace tack::guard
