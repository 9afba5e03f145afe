// The models of a guard on the command line: opened when they are first asked for, asked in turn.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "guard/guard.h"
#include "tasks/predictor.h"
#include "tasks/tagger.h"

namespace tack {

// A verdict, and the work of its models.
struct JudgedTexts {
  guard::Verdict verdict;
  double model_ms = 0;
  std::size_t texts = 0;
};

// One thread at a time.
class GuardModels {
 public:
  // `paths`: by the name that checks use; others are looked up as short names. `threads`: 0: all.
  GuardModels(std::map<std::string, std::string> paths, int threads)
      : paths_(std::move(paths)), threads_(threads) {}

  // Errors: a model that is missing or broken, or neither classifier nor tagger.
  Result<guard::GuardModel> find(const std::string& name);
  guard::FindModel finder() {
    return [this](const std::string& name) { return find(name); };
  }
  // What it says to all texts. Errors: those of find(); interruption.
  Result<guard::Answer> ask(const guard::Question& question);
  // Asks what the guard wants to know, and lets it judge. Errors: those of ask().
  Result<JudgedTexts> judge(const guard::Guard& guard, guard::Stage stage,
                            const guard::Subject& subject);
  // Null before find().
  const Model* model(const std::string& name) const;

 private:
  struct Opened {
    std::unique_ptr<TaskPredictor> classifier;
    std::unique_ptr<Tagger> tagger;
    guard::GuardModel known;
  };
  Result<const Opened*> open(const std::string& name);

  std::map<std::string, std::string> paths_;
  int threads_;
  std::map<std::string, Opened> opened_;
};

}  // namespace tack
