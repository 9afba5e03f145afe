// What a task is, and task.toml, the file that says it.
//
//   [task]         name, kind ("classify", "multilabel", "tag", "span", "embed" or "generate"),
//                  description
//   [data]         train, validation, test, text, label, oos_label, spans (eval/tagged.h), format,
//                  licence, split_test, split_seed; of questions (eval/questions.h) limit (how many
//                  of train are used); separator (eval/label_sets.h); positive, negative, or other,
//                  score, or pairs = "label" (eval/pairs.h)
//   [model]        base (path or name of an encoder), type (int8, bf16, f16, f32; of the result)
//   [train]        method ("head", "lora", "full"), rank, epochs, batch, rate, warmup, schedule,
//                  decay, clip, dropout, smoothing, layer_decay, head_rate, average, patience,
//                  validation, augment, seed, bf16, recompute, checkpoint_seconds, quantize (a
//                  block type: the weights are trained in it, and the result has it),
//                  quantize_after (share of the steps before that); of questions length, overlap
//                  (tokens, of windows: tasks/windows.h); of "embed" temperature
//   [student]      layers (how many, or which ones), width, ffn
//   [teacher]      model or models, or the keys of [train], base and count to train some;
//                  temperature, labels (weight of the labels against the teacher), unlabelled (more
//                  texts), variants; hidden, hidden_loss, layers, relations, relation_heads,
//                  relation_layer (what is learned from inside the teacher)
//   [head]         c (values of C to try), folds
//   [calibration]  false_alarms (share of in-scope rows that may be called out of scope)
//   [gate]         floor, or baseline (a task model) with margin; confidence (of the bound)
//   [heads.NAME]   one of several questions about a text: the keys of [data] that differ, weight
//   (of
//                  its loss), and its own floor or baseline with margin
//
// Of kind = "generate" there are [task], [data] (train, one text file or several), [model] (base,
// or layers, d, heads, kv_heads, ff, vocab, context, tied, rope_base, tokenizer) and [train] (steps
// or epochs, batch_tokens, length and those above that fit) only: tasks/generate_settings.h.
//
// Only [data] train is required, or train of every head. Paths are relative to the file; ${NAME} in
// them is replaced from the environment. Unknown keys are errors: a misspelt one must not be
// ignored.
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
#include "tasks/generate_settings.h"
#include "tasks/trainable.h"
#include "train/trainer.h"

namespace tack {

// What a model answers with: a label, named spans (and perhaps a label), the stretch of a context
// that answers a question, any number of labels, a vector, the text that follows.
enum class TaskKind : std::uint8_t { kClassify, kTag, kSpan, kMultilabel, kEmbed, kGenerate };
std::string_view task_kind_name(TaskKind kind);

struct GateRule {
  std::optional<double> floor;          // accuracy, 0..1
  std::optional<std::string> baseline;  // path or name of a task model
  double margin = -0.01;
  double confidence = 0.95;  // of the bound

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
  double start_c = 10;        // C of the logistic regression that the head starts from
  std::int64_t rank = 16;     // of LoRA's matrices
  bool embeddings = true;     // whether the token table is trained
  std::int64_t augment = 0;   // copies of a tagged text with other spans (tasks/augment.h)
  std::int64_t length = 0;    // of windows, tokens; 0: what the model takes
  std::int64_t overlap = 64;  // of neighbouring windows
  double temperature = kContrastTemperature;  // of cosines, in the loss of pairs
  std::string quantize;       // a type of ConvertOptions: weights are trained in it; empty: f32
  double quantize_after = 0;  // share of the steps before that begins
  TrainerOptions loop;

  Json to_json() const;
};

// What a student learns from inside its teacher, besides the answers. Weights of 0: nothing.
struct InnerSettings {
  double hidden = 0;    // of the distance between hidden states
  bool cosine = false;  // that distance is 1 - cosine of a token's vectors; else mean squares
  // The teacher's layer that each layer of the student learns; empty: the one it was.
  std::vector<std::int64_t> layers;
  double relations = 0;              // of the relations among queries, keys and values of one layer
  std::int64_t relation_heads = 12;  // that q, k and v are cut into, in teacher and student
  std::int64_t relation_layer = -1;  // of the teacher, for the student's last; -1: its last

  bool any() const { return hidden > 0 || relations > 0; }
  Json to_json() const;
};

// Whom the model learns from besides the labels.
struct TeacherSettings {
  bool wanted = false;
  // Task models with the same labels, whose probabilities are averaged; none: trained first. The
  // student starts from the first, and learns the inside of that one.
  std::vector<std::string> models;
  std::string base;        // of a teacher that is trained; empty: the task's
  TrainSettings training;  // of a teacher that is trained
  std::int64_t count = 1;  // of teachers that are trained, with seeds one after another
  double temperature = 2;
  double labels = 0.3;        // weight of the labels; the teacher has the rest
  std::string unlabelled;     // path of more texts, for the teacher's answers only
  std::int64_t variants = 0;  // changed copies of a training text, likewise (tasks/augment.h)
  InnerSettings inner;

  Json to_json() const;
};

// The part of a base (with a teacher: of its encoder) that a student starts from.
struct StudentShape {
  std::vector<std::int64_t> layers;  // which, or
  std::int64_t layer_count = 0;      // how many, evenly spread; neither: all
  std::int64_t width = 0, ffn = 0;   // hidden and feed-forward size; 0: as they are

  bool any() const { return !layers.empty() || layer_count > 0 || width > 0 || ffn > 0; }
  Json to_json() const;
};

// One of several questions that a model answers about a text, with rows of its own.
struct HeadTask {
  std::string name;
  DataSource train;
  std::string validation, test;  // as in Task
  double weight = 1;             // of its loss, and of its accuracy where an epoch is chosen
  GateRule gate;                 // none: the task's
};

struct Task {
  std::string name, description;
  TaskKind kind = TaskKind::kClassify;
  DataSource train;
  std::string validation;  // path; empty: a part of train, when the task needs one
  std::string test;        // path; empty: a part of train is held out
  std::string licence;
  std::int64_t limit = 0;   // questions of train that are used; 0: all
  double split_test = 0.2;  // of each label, when there is no test file
  std::uint64_t split_seed = 1;
  std::string base;           // path or name; empty: the default encoder
  std::string type = "int8";  // of a trained model's matrices
  StudentShape student;
  TrainSettings training;
  TeacherSettings teacher;
  std::vector<double> c = {1, 3, 10, 30, 100, 300};
  int folds = 5;
  double false_alarms = 0.05;
  GateRule gate;
  std::vector<HeadTask> heads;  // empty: one question, whose rows are those above
  GenerateSettings generate;    // of kGenerate

  // A head as a task of its own: its rows and gate, everything else as here.
  Task of_head(const HeadTask& head) const;
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
