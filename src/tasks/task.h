// What a task is, and task.toml, the file that says it.
//
//   [task]         name, kind ("classify", "multilabel", "tag" or "embed"), description
//   [data]         train, validation, test, text, label, oos_label, spans (eval/tagged.h), format,
//                  licence, split_test, split_seed; separator (eval/label_sets.h); positive,
//                  negative, or other, score, or pairs = "label" (eval/pairs.h)
//   [model]        base (path or name of an encoder), type (int8, bf16, f16, f32; of the result)
//   [train]        method ("head", "lora", "full"), rank, epochs, batch, rate, warmup, schedule,
//                  decay, clip, dropout, smoothing, layer_decay, head_rate, average, patience,
//                  validation, augment, seed, checkpoint_seconds; temperature (of "embed")
//   [student]      layers (how many, or which ones)
//   [teacher]      model, or the keys of [train] and base to train one; temperature, labels (weight
//                  of the labels against the teacher), unlabelled (more texts)
//   [head]         c (values of C to try), folds
//   [calibration]  false_alarms (share of in-scope rows that may be called out of scope)
//   [gate]         floor, or baseline (a task model) with margin
//
// Only [data] train is required. Paths are relative to the file; ${NAME} in them is replaced from
// the environment. Unknown keys are errors: a misspelt one must not be ignored.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "eval/dataset.h"
#include "tasks/trainable.h"
#include "train/trainer.h"

namespace tack {

// What a model answers with: a label, named spans (and perhaps a label), any number of labels, a
// vector.
enum class TaskKind : std::uint8_t { kClassify, kTag, kMultilabel, kEmbed };
std::string_view task_kind_name(TaskKind kind);

struct GateRule {
  std::optional<double> floor;          // accuracy, 0..1
  std::optional<std::string> baseline;  // path or name of a task model
  double margin = -0.01;

  bool any() const { return floor.has_value() || baseline.has_value(); }
};

inline constexpr double kContrastTemperature = 0.05;

// How the encoder is trained; with kHead it stays as it is. Defaults suit a few thousand short
// texts.
struct TrainSettings {
  TrainMethod method = TrainMethod::kHead;
  double validation = 0.1;  // share of each label kept apart when there is no validation file
  double smoothing = 0;     // of the labels
  double layer_decay = 1, head_rate = 1;
  double start_c = 10;       // C of the logistic regression that the head starts from
  std::int64_t rank = 16;    // of LoRA's matrices
  bool embeddings = true;    // whether the token table is trained
  std::int64_t augment = 0;  // copies of a tagged text with other spans (tasks/augment.h)
  double temperature = kContrastTemperature;  // of cosines, in the loss of pairs
  TrainerOptions loop;

  Json to_json() const;
};

// Whom the model learns from besides the labels.
struct TeacherSettings {
  bool wanted = false;
  std::string model;       // a task model with the same labels; empty: trained first
  std::string base;        // of a teacher that is trained; empty: the task's
  TrainSettings training;  // of a teacher that is trained
  double temperature = 2;
  double labels = 0.3;     // weight of the labels; the teacher has the rest
  std::string unlabelled;  // path of more texts, for the teacher's answers only

  Json to_json() const;
};

struct Task {
  std::string name, description;
  TaskKind kind = TaskKind::kClassify;
  DataSource train;
  std::string validation;  // path; empty: a part of train, when the task needs one
  std::string test;        // path; empty: a part of train is held out
  std::string licence;
  double split_test = 0.2;  // of each label, when there is no test file
  std::uint64_t split_seed = 1;
  std::string base;           // path or name; empty: the default encoder
  std::string type = "int8";  // of a trained model's matrices
  // Layers of the base (with a teacher: of its encoder) that a student keeps: which, or how many,
  // evenly spread. Neither: all.
  std::vector<std::int64_t> layers;
  std::int64_t layer_count = 0;
  TrainSettings training;
  TeacherSettings teacher;
  std::vector<double> c = {1, 3, 10, 30, 100, 300};
  int folds = 5;
  double false_alarms = 0.05;
  GateRule gate;

  DataSource test_source() const;
  DataSource validation_source() const;
  // As stored under tack.task.
  Json to_json() const;
};

// Errors name the file, line and column.
// `overrides` are "section.key=value" and replace what the file says.
Result<Task> read_task(const std::filesystem::path& path,
                       const std::vector<std::string>& overrides = {});
// The same over text; relative paths are left as they are.
Result<Task> parse_task(std::string_view toml, std::string_view name,
                        const std::vector<std::string>& overrides = {});

}  // namespace tack
