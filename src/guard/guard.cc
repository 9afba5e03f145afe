#include "guard/guard.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <unordered_map>

#include "guard/check.h"

namespace tack::guard {
namespace {

constexpr std::size_t kMostHeld = 1024;
constexpr std::size_t kNone = static_cast<std::size_t>(-1);

// Which texts of which question a check has asked.
struct Asked {
  std::vector<Ask> asks;
  std::size_t question = kNone;
  std::vector<std::size_t> texts;  // of asks, in the question
  std::size_t windows = 0;         // that the subject has: more than asks when there are too many
};

struct Plan {
  std::vector<Question> questions;
  std::vector<Asked> checks;
};

// Questions while they are put together: no text twice.
class Questions {
 public:
  std::size_t of(const Check::Model& model) {
    for (std::size_t i = 0; i < questions_.size(); ++i)
      if (questions_[i].model == model.name && questions_[i].tags == model.tags) return i;
    questions_.push_back({model.name, model.tags, {}});
    numbers_.emplace_back();
    return questions_.size() - 1;
  }
  std::size_t add(std::size_t question, const std::string& text) {
    auto& texts = questions_[question].texts;
    const auto [found, added] = numbers_[question].try_emplace(text, texts.size());
    if (added) texts.push_back(text);
    return found->second;
  }
  std::vector<Question> take() { return std::move(questions_); }

 private:
  std::vector<Question> questions_;
  std::vector<std::unordered_map<std::string, std::size_t>> numbers_;
};

struct ConfiguredCheck {
  CheckConfig config;
  std::unique_ptr<const Check> check;
};

MadeCheck make_check(Stage stage, const CheckConfig& check, const GuardConfig& guard,
                     const FindModel& models) {
  const bool of_answers = check.kind == CheckKind::kSchema || check.kind == CheckKind::kGrounded;
  if (of_answers && stage != Stage::kOutput)
    return fail(ErrorCode::kUsage, "judges answers: it belongs in [[guard.output]]");
  switch (check.kind) {
    case CheckKind::kUnsafe:
      return make_unsafe_check(check, guard, models);
    case CheckKind::kInjection:
      return make_injection_check(check, guard, models);
    case CheckKind::kTopic:
      return make_topic_check(check, guard, models);
    case CheckKind::kPii:
      return make_pii_check(check, models);
    case CheckKind::kSecrets:
      return make_secrets_check(check);
    case CheckKind::kWords:
      return make_words_check(check);
    case CheckKind::kRegex:
      return make_regex_check(check);
    case CheckKind::kUrls:
      return make_urls_check(check);
    case CheckKind::kLanguage:
      return make_language_check(check);
    case CheckKind::kLength:
      return make_length_check(check);
    case CheckKind::kSchema:
      return make_schema_check(check);
    case CheckKind::kGrounded:
      return make_grounded_check(check, guard, models);
  }
  return fail(ErrorCode::kUsage, "no such check");
}

std::string name_of(const CheckConfig& check) {
  return check.name.empty() ? std::string(check_kind_name(check.kind)) : check.name;
}

class ConfiguredGuard : public Guard {
 public:
  using Stages = std::array<std::vector<ConfiguredCheck>, 3>;

  ConfiguredGuard(GuardConfig config, Stages stages)
      : config_(std::move(config)), stages_(std::move(stages)) {}

  const GuardConfig& config() const override { return config_; }

  std::vector<Question> questions(Stage stage, const Subject& subject) const override {
    SeenSubject seen(stage, subject);
    return plan(stage, seen).questions;
  }

  Verdict judge(Stage stage, const Subject& subject,
                std::span<const Result<Answer>> answers) const override {
    SeenSubject seen(stage, subject);
    const Plan planned = plan(stage, seen);
    Verdict verdict;
    const auto& checks = stages_[static_cast<std::size_t>(stage)];
    for (std::size_t i = 0; i < checks.size(); ++i) {
      Finding finding = judge_one(checks[i], planned, planned.checks[i], seen, answers);
      const bool blocks = finding.tripped || (finding.failed && !config_.pass_on_error);
      verdict.blocked = verdict.blocked || (blocks && !finding.observed);
      verdict.findings.push_back(std::move(finding));
    }
    return verdict;
  }

  bool needs_whole_answer() const override {
    return std::ranges::any_of(stages_[2], [this](const ConfiguredCheck& one) {
      return !observed(one.config) && one.check->needs_whole_answer();
    });
  }

  std::size_t held_back(std::string_view answer) const override {
    // No check looks further back than what may be held.
    constexpr std::size_t kTail = 4 * kMostHeld;
    const std::size_t begin =
        answer.size() > kTail ? start_of_character(answer, answer.size() - kTail) : 0;
    const Passage tail{Role::kAssistant, std::string(answer.substr(begin))};
    SeenPassage seen(tail, 0);
    std::size_t held = 0;
    for (const ConfiguredCheck& one : stages_[2])
      if (!observed(one.config)) held = std::max(held, one.check->held_back(seen));
    held = std::min({held, answer.size(), kMostHeld - 4});
    return answer.size() - start_of_character(answer, answer.size() - held);
  }

 private:
  // The beginning of the character that holds byte `at`; `at` itself where there is none.
  static std::size_t start_of_character(std::string_view text, std::size_t at) {
    std::size_t begin = at;
    while (begin > 0 && at - begin < 3 && begin < text.size() &&
           (static_cast<unsigned char>(text[begin]) & 0xC0U) == 0x80U)
      --begin;
    return begin;
  }

  bool observed(const CheckConfig& check) const { return config_.observe || check.observe; }

  Plan plan(Stage stage, SeenSubject& seen) const {
    Questions questions;
    Plan plan;
    for (const ConfiguredCheck& one : stages_[static_cast<std::size_t>(stage)]) {
      Asked asked;
      if (const Check::Model* model = one.check->model(); model != nullptr) {
        asked.asks = one.check->asks(seen);
        asked.windows = asked.asks.size();
        if (asked.windows > static_cast<std::size_t>(config_.max_windows))
          asked.asks.resize(static_cast<std::size_t>(config_.max_windows));
        if (!asked.asks.empty()) asked.question = questions.of(*model);
        for (const Ask& ask : asked.asks)
          asked.texts.push_back(questions.add(asked.question, ask.text));
      }
      plan.checks.push_back(std::move(asked));
    }
    plan.questions = questions.take();
    return plan;
  }

  Finding judge_one(const ConfiguredCheck& one, const Plan& plan, const Asked& asked,
                    SeenSubject& seen, std::span<const Result<Answer>> answers) const {
    const auto start = std::chrono::steady_clock::now();
    Finding finding{.check = name_of(one.config), .kind = one.config.kind};
    finding.observed = observed(one.config);
    std::vector<Told> told;
    if (const std::string why = told_of(one, plan, asked, answers, told); !why.empty()) {
      finding.failed = true;
      finding.reason = why;
    } else {
      one.check->judge(seen, told, finding);
      if (asked.windows > asked.asks.size() && !finding.tripped) {
        finding.failed = true;
        finding.reason = fmt::format(
            "the texts fill {} windows of the model '{}', more than max_windows ({}) allows: "
            "shorten them, or raise max_windows",
            asked.windows, one.check->model()->name, config_.max_windows);
      }
    }
    const std::chrono::duration<double, std::milli> ms = std::chrono::steady_clock::now() - start;
    finding.ms = ms.count();
    return finding;
  }

  // What the model said to the check's asks; a reason when that is not to be had.
  static std::string told_of(const ConfiguredCheck& one, const Plan& plan, const Asked& asked,
                             std::span<const Result<Answer>> answers, std::vector<Told>& told) {
    if (asked.asks.empty()) return {};
    const Check::Model& model = *one.check->model();
    if (asked.question >= answers.size() || !answers[asked.question])
      return fmt::format("the model '{}' failed or was late", model.name);
    const Answer& answer = *answers[asked.question];
    const std::size_t texts = plan.questions[asked.question].texts.size();
    const bool fits =
        model.tags ? answer.spans.size() == texts : answer.labels.size() == texts * model.heads;
    if (!fits) return fmt::format("the model '{}' left texts unanswered", model.name);
    for (std::size_t i = 0; i < asked.asks.size(); ++i) {
      Told next{.ask = &asked.asks[i]};
      const std::size_t text = asked.texts[i];
      if (model.tags)
        next.spans = &answer.spans[text];
      else
        next.heads = std::span(answer.labels).subspan(text * model.heads, model.heads);
      told.push_back(next);
    }
    return {};
  }

  GuardConfig config_;
  Stages stages_;
};

std::string where(const CheckConfig& check, Stage stage) {
  return check.line > 0 ? fmt::format("line {}: check '{}' of {}", check.line, name_of(check),
                                      stage_name(stage))
                        : fmt::format("check '{}' of {}", name_of(check), stage_name(stage));
}

}  // namespace

Status validate(Stage stage, const CheckConfig& check, const GuardConfig& config,
                const FindModel& models) {
  const MadeCheck made = make_check(stage, check, config, models);
  return made ? Status() : std::unexpected(made.error());
}

Result<std::shared_ptr<const Guard>> Guard::create(const GuardConfig& config,
                                                   const FindModel& models) {
  ConfiguredGuard::Stages stages;
  for (const Stage stage : {Stage::kPreFlight, Stage::kInput, Stage::kOutput})
    for (const CheckConfig& check : config.checks(stage)) {
      MadeCheck made = make_check(stage, check, config, models);
      if (!made) return std::unexpected(std::move(made).error().in(where(check, stage)));
      stages[static_cast<std::size_t>(stage)].push_back({check, *std::move(made)});
    }
  return std::make_shared<const ConfiguredGuard>(config, std::move(stages));
}

const Finding* Verdict::first_tripped() const {
  const Finding* first = nullptr;
  const auto rank = [](const Finding& finding) {
    if (!finding.tripped && !finding.failed) return 0;
    return (finding.observed ? 1 : 3) + (finding.tripped ? 1 : 0);
  };
  for (const Finding& finding : findings)
    if (rank(finding) > (first == nullptr ? 0 : rank(*first))) first = &finding;
  return first;
}

Json Verdict::to_json() const {
  const auto number = [](double value) { return std::isnan(value) ? Json() : Json(value); };
  Json list = Json::array();
  for (const Finding& one : findings) {
    Json json = {{"check", one.check},
                 {"kind", check_kind_name(one.kind)},
                 {"tripped", one.tripped},
                 {"failed", one.failed},
                 {"observed", one.observed},
                 {"score", number(one.score)},
                 {"threshold", number(one.threshold)}};
    if (!one.category.empty()) json["category"] = one.category;
    if (!one.reason.empty()) json["reason"] = one.reason;
    list.push_back(std::move(json));
  }
  return {{"blocked", blocked}, {"findings", std::move(list)}};
}

}  // namespace tack::guard
