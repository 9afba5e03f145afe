// Intents in scope, and answers that the given texts support: task models of the user's own.
#include <algorithm>

#include <fmt/ranges.h>

#include "guard/ask_texts.h"
#include "guard/check.h"
#include "guard/model_head.h"
#include "guard/passage_windows.h"

namespace tack::guard {
namespace {

class TopicCheck : public Check {
 public:
  TopicCheck(ModelHead head, std::vector<std::size_t> allowed, std::optional<double> threshold)
      : head_(std::move(head)), allowed_(std::move(allowed)), threshold_(threshold) {}

  const Model* model() const override { return &head_.model; }

  std::vector<Ask> asks(SeenSubject& subject) const override {
    if (subject.stage() == Stage::kOutput) return ask_answer(subject, head_.context);
    SeenPassage* latest = subject.latest();
    if (latest == nullptr) return {};
    return ask_texts(std::span(&latest, 1), 0, head_.context);
  }

  void judge(SeenSubject& subject, std::span<const Told> told, Finding& finding) const override {
    finding.threshold = threshold_.value_or(0.5);
    double worst = 0;
    for (const Told& one : told) {
      // What is hidden is no topic by itself; other checks look at it.
      if (!one.ask->hidden.empty()) continue;
      const Prediction* prediction = head_.of(one);
      if (prediction == nullptr) {
        finding.failed = true;
        finding.reason = "the model's answer does not fit its labels";
        continue;
      }
      worst = std::max(worst, outside(*prediction));
      if (finding.tripped || !trips(*prediction)) continue;
      finding.tripped = true;
      finding.category =
          prediction->out_of_scope ? "out_of_scope" : head_.head.labels[prediction->label];
      finding.reason = fmt::format("{} is about something that this service does not do",
                                   place_of(subject, one.ask->passage));
    }
    finding.score = worst;
    if (finding.tripped) finding.failed = false;
  }

 private:
  // 1 - the probability of what may pass; 1 for what is out of the model's scope.
  double outside(const Prediction& prediction) const {
    if (prediction.out_of_scope) return 1;
    double inside = 0;
    for (const std::size_t label : allowed_)
      inside += static_cast<double>(prediction.probabilities[label]);
    return std::clamp(1 - inside, 0.0, 1.0);
  }

  bool trips(const Prediction& prediction) const {
    if (prediction.out_of_scope) return true;
    if (threshold_) return outside(prediction) >= *threshold_;
    return std::ranges::find(allowed_, prediction.label) == allowed_.end();
  }

  ModelHead head_;
  std::vector<std::size_t> allowed_;
  std::optional<double> threshold_;
};

// The given texts and the answer as a pair; the label of pairs that agree passes.
class GroundedCheck : public Check {
 public:
  GroundedCheck(ModelHead head, std::size_t supported, double threshold)
      : head_(std::move(head)), supported_(supported), threshold_(threshold) {}

  const Model* model() const override { return &head_.model; }
  bool needs_whole_answer() const override { return true; }

  std::vector<Ask> asks(SeenSubject& subject) const override {
    SeenPassage* answer = subject.latest();
    if (answer == nullptr || !subject.complete()) return {};
    // Half of the model's room for each of both.
    const std::int64_t half = head_.context / 2;
    std::vector<Ask> asks;
    for (SeenPassage& given : subject.all()) {
      if (given.role() != Role::kTool) continue;
      for (const std::string_view context : cut_windows(given.normal().text, half))
        // In place of a passage: where the part begins, by which judge() brings its pairs together.
        for (const std::string_view part : cut_windows(answer->normal().text, half))
          asks.push_back({fmt::format("{} [SEP] {}", context, part),
                          static_cast<std::size_t>(part.data() - answer->normal().text.data()),
                          {}});
    }
    return asks;
  }

  // Each part of the answer needs one given text that supports it.
  void judge(SeenSubject&, std::span<const Told> told, Finding& finding) const override {
    std::map<std::size_t, double> best;  // by where the part begins
    for (const Told& one : told) {
      const Prediction* prediction = head_.of(one);
      if (prediction == nullptr) {
        finding.failed = true;
        finding.reason = "the model's answer does not fit its labels";
        return;
      }
      double& support = best[one.ask->passage];
      support = std::max(support, static_cast<double>(prediction->probabilities[supported_]));
    }
    finding.threshold = threshold_;
    finding.score = 0;
    if (best.empty()) {
      finding.reason = "the request holds no retrieved text to compare the answer with";
      return;
    }
    for (const auto& [part, support] : best) finding.score = std::max(finding.score, 1 - support);
    if (finding.score < threshold_) return;
    finding.tripped = true;
    finding.category = "unsupported";
    finding.reason = "the answer says something that the retrieved texts do not";
  }

 private:
  ModelHead head_;
  std::size_t supported_;
  double threshold_;
};

}  // namespace

MadeCheck make_topic_check(const CheckConfig& config, const GuardConfig& guard,
                           const FindModel& models) {
  if (config.model.empty())
    return fail(
        ErrorCode::kUsage,
        "model is missing: a task model whose labels are the topics (`tack build` makes one "
        "from examples)");
  TACK_TRY(ModelHead head, find_model_head(config, guard, models, ""));
  std::vector<std::size_t> allowed;
  for (const std::string& name : config.only) {
    TACK_TRY(allowed.emplace_back(), head.label(name));
  }
  if (head.head.calibration.multilabel)
    return fail(ErrorCode::kUsage, "the model '{}' gives several labels at once; a topic is one",
                head.model.name);
  if (config.only.empty()) {
    if (head.head.calibration.threshold == 0)
      return fail(ErrorCode::kUsage,
                  "the model '{}' knows no texts out of scope: name the labels that may pass by "
                  "only; it has: {}",
                  head.model.name, fmt::join(head.head.labels, ", "));
    for (std::size_t i = 0; i < head.head.labels.size(); ++i) allowed.push_back(i);
  }
  return std::make_unique<TopicCheck>(std::move(head), std::move(allowed), config.threshold);
}

MadeCheck make_grounded_check(const CheckConfig& config, const GuardConfig& guard,
                              const FindModel& models) {
  if (config.model.empty())
    return fail(ErrorCode::kUsage,
                "model is missing: a task model over \"given text [SEP] answer\" with a label "
                "'supported' (`tack build` makes one from examples)");
  TACK_TRY(ModelHead head, find_model_head(config, guard, models, ""));
  const std::string passing = config.only.empty() ? "supported" : config.only.front();
  if (config.only.size() > 1)
    return fail(ErrorCode::kUsage, "only: one label, that of answers the given text supports");
  TACK_TRY(const std::size_t supported, head.label(passing));
  const double threshold = config.threshold.value_or(head.thresholds.score.value_or(0.5));
  return std::make_unique<GroundedCheck>(std::move(head), supported, threshold);
}

}  // namespace tack::guard
