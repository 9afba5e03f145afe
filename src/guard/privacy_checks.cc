// Personal data, and keys and passwords: what privacy/finder.h finds by pattern, and a tagger
// names.
#include <algorithm>
#include <set>

#include <fmt/ranges.h>

#include "base/nearest.h"
#include "guard/ask_texts.h"
#include "guard/check.h"
#include "privacy/finder.h"

namespace tack::guard {
namespace {

// The entity that a tagger's span is; "" for none of ours.
std::string entity_of_span(std::string_view name) {
  std::string upper(name);
  for (char& c : upper)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  static const std::map<std::string_view, std::string_view> kOthers{
      {"PER", "PERSON"},
      {"ORG", "ORGANIZATION"},
      {"ORGANISATION", "ORGANIZATION"},
      {"COMPANY", "ORGANIZATION"},
      {"CORPORATION", "ORGANIZATION"},
      {"GROUP", "ORGANIZATION"},
      {"LOC", "LOCATION"},
      {"GPE", "LOCATION"},
      {"PLACE", "LOCATION"},
      {"ADDRESS", "LOCATION"}};
  if (const auto other = kOthers.find(upper); other != kOthers.end())
    return std::string(other->second);
  return privacy::entity(upper) != nullptr ? upper : std::string();
}

// What a finder check looks for.
struct Wanted {
  std::vector<std::string> patterns;  // entities that patterns find
  std::set<std::string> tagged;       // entities that a tagger names
};

class FinderCheck : public Check {
 public:
  FinderCheck(const CheckConfig& config, std::shared_ptr<const privacy::Finder> finder,
              std::set<std::string> tagged, Model model, std::int64_t context)
      : finder_(std::move(finder)),
        tagged_(std::move(tagged)),
        model_(std::move(model)),
        context_(context),
        threshold_(config.threshold.value_or(0)),
        mask_(config.mask) {
    for (const std::string& word : config.allow) allowed_.insert(fold(normalize(word)).text);
  }

  const Model* model() const override { return model_.name.empty() ? nullptr : &model_; }

  std::vector<Ask> asks(SeenSubject& subject) const override {
    if (subject.stage() == Stage::kOutput) return ask_answer(subject, context_);
    const std::vector<SeenPassage*> said = passages(subject);
    const SeenPassage* latest = subject.latest();
    const std::size_t from = latest == nullptr ? 0 : latest->number();
    const auto newest = std::ranges::lower_bound(said, from, {}, &SeenPassage::number);
    return ask_texts(said, static_cast<std::size_t>(newest - said.begin()), context_);
  }

  void judge(SeenSubject& subject, std::span<const Told> told, Finding& finding) const override {
    const bool goes_on = subject.stage() == Stage::kOutput && !subject.complete();
    for (SeenPassage* passage : passages(subject)) {
      // As it came: this is what can be masked.
      look(passage->raw(), goes_on, place_of(subject, *passage), mask_, finding);
      if (finding.tripped) return;
      const std::vector<std::string_view> readings = passage->readings();
      for (const std::string_view text : std::span(readings).subspan(1))
        look(text, goes_on, place_of(subject, *passage), false, finding);
      if (finding.tripped) return;
    }
    for (const Told& one : told) {
      look_at_spans(subject, one, finding);
      if (finding.tripped) return;
    }
  }

  std::size_t held_back(SeenPassage& answer) const override {
    return finder_ == nullptr ? 0 : finder_->held_back(answer.raw());
  }

 private:
  // All that would leave: of an input stage every message.
  static std::vector<SeenPassage*> passages(SeenSubject& subject) {
    if (subject.stage() == Stage::kOutput) return subject.untrusted();
    std::vector<SeenPassage*> all;
    for (SeenPassage& passage : subject.all()) all.push_back(&passage);
    return all;
  }

  bool is_allowed(std::string_view text) const {
    return !allowed_.empty() && allowed_.contains(fold(normalize(text)).text);
  }

  static std::string reason(const std::string& place, const std::string& entity, bool masked) {
    const privacy::EntityInfo* info = privacy::entity(entity);
    const bool secret = info != nullptr && info->secret;
    return fmt::format("{} contains {} ({}): {}", place, secret ? "a secret" : "personal data",
                       info == nullptr ? std::string_view(entity) : info->description,
                       masked ? "it is replaced" : "leave it out");
  }

  void look(std::string_view text, bool goes_on, const std::string& place, bool masked,
            Finding& finding) const {
    if (finder_ == nullptr) return;
    // What may yet become something else is held back, and judged when more has come.
    const std::size_t known = text.size() - (goes_on ? finder_->held_back(text) : 0);
    for (const privacy::Finding& found : finder_->find(text)) {
      if (static_cast<double>(found.score) < threshold_ || found.end > known) continue;
      if (is_allowed(text.substr(found.begin, found.end - found.begin))) continue;
      finding.category = found.entity;
      finding.score = static_cast<double>(found.score);
      finding.threshold = threshold_;
      finding.tripped = !masked;
      finding.reason = reason(place, found.entity, masked);
      return;
    }
  }

  void look_at_spans(const SeenSubject& subject, const Told& told, Finding& finding) const {
    if (told.spans == nullptr) return;
    const std::string& text = told.ask->text;
    for (const Span& span : *told.spans) {
      const std::string entity = entity_of_span(span.name);
      const bool inside = span.begin >= 0 && span.begin <= span.end &&
                          static_cast<std::size_t>(span.end) <= text.size();
      if (!tagged_.contains(entity) || !inside) continue;
      if (is_allowed(
              std::string_view(text).substr(static_cast<std::size_t>(span.begin),
                                            static_cast<std::size_t>(span.end - span.begin))))
        continue;
      finding.category = entity;
      finding.tripped = !mask_ || !told.ask->hidden.empty();
      finding.reason =
          reason(place_of(subject, told.ask->passage), entity, /*masked=*/!finding.tripped);
      return;
    }
  }

  std::shared_ptr<const privacy::Finder> finder_;  // null: only the tagger looks
  std::set<std::string> tagged_;
  Model model_;
  std::int64_t context_;
  double threshold_;
  bool mask_;
  std::set<std::string> allowed_;
};

// `secret`: keys and passwords, else personal data. `spans`: of the tagger, if any.
Result<Wanted> wanted_of(const CheckConfig& config, bool secret,
                         std::span<const std::string> spans) {
  std::set<std::string> taggable;
  for (const std::string& span : spans)
    if (std::string entity = entity_of_span(span); !entity.empty()) taggable.insert(entity);
  Wanted wanted;
  if (config.only.empty()) {
    for (const privacy::EntityInfo& one : privacy::entities())
      if (one.secret == secret && !one.by_model) wanted.patterns.emplace_back(one.name);
    wanted.tagged = taggable;
    return wanted;
  }
  std::vector<std::string> names;
  for (const privacy::EntityInfo& one : privacy::entities())
    if (one.secret == secret || !secret) names.emplace_back(one.name);
  for (const std::string& name : config.only) {
    const privacy::EntityInfo* info = privacy::entity(name);
    if (info == nullptr || std::ranges::find(names, name) == names.end())
      return fail(ErrorCode::kUsage, "only: there is no '{}'{} There are: {}", name,
                  did_you_mean(name, names), fmt::join(names, ", "));
    if (!info->by_model)
      wanted.patterns.push_back(name);
    else if (taggable.contains(name))
      wanted.tagged.insert(name);
    else
      return fail(
          ErrorCode::kUsage,
          "only: '{}' is found by a tagger, not by patterns: name one that tags it by model", name);
  }
  return wanted;
}

MadeCheck make(const CheckConfig& config, bool secret, const Check::Model& model,
               const GuardModel& known) {
  TACK_TRY(Wanted wanted, wanted_of(config, secret, known.spans));
  std::shared_ptr<const privacy::Finder> finder;
  if (!wanted.patterns.empty()) {
    TACK_TRY(finder, privacy::Finder::create(wanted.patterns));
  }
  return std::make_unique<FinderCheck>(config, std::move(finder), std::move(wanted.tagged), model,
                                       known.context_length);
}

}  // namespace

MadeCheck make_pii_check(const CheckConfig& config, const FindModel& models) {
  if (config.model.empty()) return make(config, /*secret=*/false, {}, {});
  TACK_TRY(const GuardModel known, models(config.model));
  const bool useful = std::ranges::any_of(
      known.spans, [](const std::string& span) { return !entity_of_span(span).empty(); });
  if (!useful)
    return fail(ErrorCode::kUsage,
                "the model '{}' tags no persons, organisations or places; it tags: {}",
                config.model,
                known.spans.empty() ? "nothing" : fmt::format("{}", fmt::join(known.spans, ", ")));
  return make(config, /*secret=*/false, {.name = config.model, .tags = true}, known);
}

MadeCheck make_secrets_check(const CheckConfig& config) {
  return make(config, /*secret=*/true, {}, {});
}

}  // namespace tack::guard
