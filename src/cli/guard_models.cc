#include "cli/guard_models.h"

#include <chrono>

#include "cli/lines.h"
#include "guard/guard_model.h"

namespace tack {

Result<const GuardModels::Opened*> GuardModels::open(const std::string& name) {
  if (const auto found = opened_.find(name); found != opened_.end()) return &found->second;
  const auto given = paths_.find(name);
  TACK_TRY(const auto path, resolve_model(given == paths_.end() ? name : given->second));
  TACK_TRY(const auto model, Model::open(path));
  Opened opened;
  TACK_TRY(opened.known, guard::guard_model_of(*model));
  if (opened.known.heads.empty()) {
    TACK_TRY(opened.tagger, Tagger::open(path, {.threads = threads_}));
  } else {
    TACK_TRY(opened.classifier, TaskPredictor::open_heads(path, {.threads = threads_}));
  }
  return &opened_.emplace(name, std::move(opened)).first->second;
}

Result<guard::GuardModel> GuardModels::find(const std::string& name) {
  TACK_TRY(const Opened* opened, open(name));
  return opened->known;
}

const Model* GuardModels::model(const std::string& name) const {
  const auto found = opened_.find(name);
  if (found == opened_.end()) return nullptr;
  return found->second.tagger ? &found->second.tagger->model() : &found->second.classifier->model();
}

Result<guard::Answer> GuardModels::ask(const guard::Question& question) {
  TACK_TRY(const Opened* opened, open(question.model));
  const std::vector<std::string_view> texts = views(question.texts);
  guard::Answer answer;
  if (question.tags != (opened->tagger != nullptr))
    return fail(ErrorCode::kUsage, "the model '{}' is no {}", question.model,
                question.tags ? "tagger" : "classifier");
  if (!question.tags) {
    TACK_TRY(answer.labels, opened->classifier->predict_heads(texts));
    return answer;
  }
  TACK_TRY(auto tagged, opened->tagger->predict(texts));
  for (TagPrediction& one : tagged) answer.spans.push_back(std::move(one.spans));
  return answer;
}

Result<JudgedTexts> GuardModels::judge(const guard::Guard& guard, guard::Stage stage,
                                       const guard::Subject& subject) {
  JudgedTexts judged;
  std::vector<Result<guard::Answer>> answers;
  for (const guard::Question& question : guard.questions(stage, subject)) {
    const auto start = std::chrono::steady_clock::now();
    TACK_TRY(guard::Answer answer, ask(question));
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    answers.emplace_back(std::move(answer));
    judged.model_ms += took.count();
    judged.texts += question.texts.size();
  }
  judged.verdict = guard.judge(stage, subject, answers);
  return judged;
}

}  // namespace tack
