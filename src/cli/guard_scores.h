// Rows of texts, and what one check of a guard gives each.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/guard_models.h"
#include "guard/score_metrics.h"

namespace tack {

struct GuardDataOptions {
  std::string column, label = "label", source, against, format = "auto";
  std::string negative;  // label of texts that may pass; "": the usual ones
  std::string role;      // "tool": the texts are what tools returned
};

struct GuardRow {
  std::string text, label, source, other;
};
// Errors: those of RowReader; a file without rows.
Result<std::vector<GuardRow>> read_guard_rows(const GuardDataOptions& options,
                                              const std::string& path, bool labelled);

// One check alone in a guard, as the configuration has it.
class GuardScorer {
 public:
  // Errors: kNotFound, no check of this name in the stage; those of Guard::create().
  static Result<GuardScorer> create(const guard::GuardConfig& config, guard::Stage stage,
                                    const std::string& name, GuardModels& models);

  const guard::CheckConfig& check() const { return check_; }
  double threshold() const { return threshold_; }  // of the last text

  // Of each text alone, between 0 and 1; of checks without a score 1 when they trip. What cannot
  // be checked counts 1, since it does not pass.
  Result<std::vector<float>> score_all(const GuardDataOptions& options,
                                       const std::vector<GuardRow>& rows);
  Result<guard::ScoredRows> score(const GuardDataOptions& options,
                                  const std::vector<GuardRow>& rows);

 private:
  GuardScorer(guard::Stage stage, GuardModels& models) : stage_(stage), models_(&models) {}
  Result<double> score_text(const std::string& text, bool tool);

  guard::Stage stage_;
  GuardModels* models_;
  guard::CheckConfig check_;
  std::shared_ptr<const guard::Guard> guard_;
  double threshold_ = 0.5;
};

}  // namespace tack
