// For tests: guards with models that say what a rule of the test says.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "guard/guard.h"

namespace tack::guard {

// A classifier with the heads "harm" (safe, violence, self_harm) and "injection" (none, direct,
// indirect), of `context` tokens.
inline GuardModel made_up_model(std::int64_t context = 64) {
  GuardModel model;
  model.heads = {{"harm", 0, {"safe", "violence", "self_harm"}, {}},
                 {"injection", 3, {"none", "direct", "indirect"}, {}}};
  model.context_length = context;
  return model;
}
inline FindModel only_model(GuardModel model, std::string name = "guard") {
  return [model = std::move(model),
          name = std::move(name)](const std::string& asked) -> Result<GuardModel> {
    if (asked == name) return model;
    return fail(ErrorCode::kNotFound, "no model '{}'", asked);
  };
}

inline Prediction says(std::vector<float> probabilities) {
  Prediction prediction;
  for (std::size_t i = 1; i < probabilities.size(); ++i)
    if (probabilities[i] > probabilities[prediction.label]) prediction.label = i;
  prediction.probabilities = std::move(probabilities);
  return prediction;
}

// Texts that hold "KILL" are violence, those with "OVERRIDE" an injection.
inline Result<Answer> made_up_answer(const Question& question) {
  Answer answer;
  for (const std::string& text : question.texts) {
    const bool harm = text.contains("KILL"), injected = text.contains("OVERRIDE");
    answer.labels.push_back(
        says(harm ? std::vector<float>{0.2F, 0.7F, 0.1F} : std::vector<float>{0.9F, 0.06F, 0.04F}));
    answer.labels.push_back(says(injected ? std::vector<float>{0.1F, 0.8F, 0.1F}
                                          : std::vector<float>{0.95F, 0.03F, 0.02F}));
  }
  return answer;
}

inline std::shared_ptr<const Guard> made(const GuardConfig& config,
                                         const FindModel& models = only_model(made_up_model())) {
  auto guard = Guard::create(config, models);
  EXPECT_TRUE(guard) << guard.error().message;
  return guard ? *guard : nullptr;
}

inline Verdict judged(
    const Guard& guard, Stage stage, const Subject& subject,
    const std::function<Result<Answer>(const Question&)>& model = made_up_answer) {
  std::vector<Result<Answer>> answers;
  for (const Question& question : guard.questions(stage, subject))
    answers.push_back(model(question));
  return guard.judge(stage, subject, answers);
}

inline Subject user_says(std::string text) {
  return {.passages = {{Role::kUser, std::move(text)}}};
}

inline GuardConfig with(CheckConfig check, Stage stage = Stage::kInput) {
  GuardConfig config;
  config.enabled = true;
  auto& checks = stage == Stage::kPreFlight ? config.pre_flight
                 : stage == Stage::kInput   ? config.input
                                            : config.output;
  checks.push_back(std::move(check));
  return config;
}

}  // namespace tack::guard
