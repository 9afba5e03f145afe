// `build`: from labelled rows to a task model that has passed its gate.
//
// Reads and divides the data; embeds it with the frozen encoder and fits a logistic head (C by
// cross-validation), or trains encoder and head; calibrates on logits of rows that were not fitted,
// then evaluates the file it will ship on the test rows and asks the gate. Only an accepted model
// is written to its place.
#pragma once

#include <algorithm>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "eval/gate.h"
#include "tasks/embedding.h"
#include "tasks/evaluate.h"
#include "tasks/extractor.h"
#include "tasks/multilabel.h"
#include "tasks/tagger.h"
#include "tasks/task.h"
#include "tasks/text_evaluation.h"
#include "train/logistic.h"
#include "train/trainer.h"

namespace tack {

struct BuildOptions {
  std::filesystem::path out;
  int threads = 0;
  std::string command;                              // for the lineage
  std::function<void(const std::string&)> message;  // one line about each step; may be empty
};

struct BuildResult {
  Task task;
  std::vector<std::string> labels;
  std::size_t train_rows = 0, train_out_of_scope = 0, test_rows = 0, test_out_of_scope = 0;
  std::size_t overlap = 0;  // test texts that also stand in the training rows
  std::size_t validation_rows = 0;
  LogisticSearch search;                   // of a head on the frozen encoder
  std::optional<TrainingResult> training;  // of an encoder that was trained
  std::int64_t trained_parameters = 0;
  // The frozen base with a logistic head on the same test rows, beside a trained model.
  std::size_t baseline_bytes = 0;
  Evaluation baseline_evaluation;
  std::string training_of;        // what it depends on, to know a teacher again by
  std::filesystem::path teacher;  // the first; empty: none
  std::vector<std::filesystem::path> other_teachers;
  std::size_t teacher_bytes = 0;
  Evaluation teacher_evaluation;
  // Of kind "tag", in place of the evaluations above.
  std::optional<TagEvaluation> tagged, teacher_tagged;
  std::optional<ExtractEvaluation> extracted, teacher_extracted;  // of kind "span", likewise
  // Of kind "multilabel" and of kind "embed" likewise; the base beside an encoder is the base
  // itself.
  std::optional<LabelSetEvaluation> label_sets, teacher_label_sets, baseline_label_sets;
  std::optional<PairEvaluation> pairs, teacher_pairs, baseline_pairs;
  std::optional<TextEvaluation> texts, baseline_texts;  // of kind "generate", likewise
  std::string head;                                     // how the head came about, in words
  double temperature = 1;
  float threshold = 0;
  double detectable_loss = 0;
  Evaluation evaluation;
  std::optional<GateResult> gate;  // when the task has one
  double seconds = 0;
  std::size_t model_bytes = 0;
  std::string base;
  // Of a task with several heads: what is said above about rows, labels, calibration, evaluation
  // and gate, for each.
  std::vector<BuildResult> heads;

  bool accepted() const {
    return (!gate || gate->accepted) &&
           std::ranges::all_of(heads, [](const BuildResult& one) { return one.accepted(); });
  }
};

// Errors: those of reading the task's data and models; kInterrupted. A refusal by the gate is not
// an error: the result says so, and nothing was written.
Result<BuildResult> build_task(const Task& task, const BuildOptions& options);

}  // namespace tack
