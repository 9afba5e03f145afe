// Steps that builds of every kind share.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>

#include "base/json.h"
#include "tasks/artifact.h"
#include "tasks/build.h"
#include "tasks/inner_teacher.h"
#include "tasks/student.h"

namespace tack {

void say(const BuildOptions& options, const std::string& line);

struct Data {
  Dataset train, validation, test;  // validation: empty unless the encoder is trained
};

// What a training and a lineage say about the rows, of whatever kind they are.
struct DataSummary {
  struct Part {
    std::size_t rows = 0;
    std::string sha256;
  };
  Part train, validation, test;
};
template <class AnyData>
DataSummary summary_of(const AnyData& data) {
  return {.train = {data.train.size(), data.train.sha256},
          .validation = {data.validation.size(), data.validation.sha256},
          .test = {data.test.size(), data.test.sha256}};
}

// Reads and divides what the task names, and counts it in `result`. Errors: those of reading; a
// label that is only on one side.
Result<Data> read_data(const Task& task, BuildResult& result);
// What was read, in a line.
std::string describe_data(const Task& task, const BuildResult& result);

// Temperature and threshold from logits of rows that the head was not fitted to.
Json calibrate(const Task& task, std::span<const float> logits,
               std::span<const std::int32_t> labels, std::int32_t classes, BuildResult& result);

// The same for label sets: `targets` are dense_targets() of those rows.
Json calibrate_sets(std::span<const float> logits, std::span<const float> targets,
                    BuildResult& result);

// What calibrate() or calibrate_sets() found, in words.
std::string calibration_text(const BuildResult& result);

// An encoder and a head that fits it.
struct Fitted {
  std::shared_ptr<const Model> encoder;  // the one the head belongs to
  LinearHead head;
  Json calibration;
  std::map<std::string, Adapter::Pair> adapters = {};  // of LoRA
};

// The frozen encoder with a logistic head, C by cross-validation.
Result<Fitted> fit_head(const Task& task, const std::shared_ptr<const Model>& base,
                        const Data& rows, const BuildOptions& options, int threads,
                        BuildResult& result);

// What a training depends on: a checkpoint of anything else is not continued.
std::string describe_training(const Task& task, const TrainSettings& settings, const Model& base,
                              const DataSummary& data, const std::string& teacher);

// What the student learns from inside `teacher`, said in a line; nothing when the task wants
// nothing.
std::optional<InnerLessons> inner_lessons(const Task& task, std::shared_ptr<const Model> teacher,
                                          const Student& student, const BuildOptions& options);

// The gate's word on rows that are right or not, where the task has one: against its floor, or
// against what `baseline` says of the baseline's file.
Status ask_gate(
    const GateRule& rule, const std::vector<bool>& right,
    const std::function<Result<std::vector<bool>>(const std::filesystem::path&)>& baseline,
    BuildResult& result);

// Whether each in-scope row is right (of label sets: each row as a whole), against the task's floor
// or baseline. A baseline with several heads answers with the one of the task's name.
Status ask_gate(const Task& task, const Dataset& test, int threads, BuildResult& result);

// The rows with labels, or label sets, as places in `labels`, where theirs stand in another order.
Dataset with_labels_of(Dataset rows, const std::vector<std::string>& labels);

// A teacher (its head of that name, where it has several) on test rows; its labels may be in
// another order.
Result<Evaluation> evaluate_teacher(const std::filesystem::path& path, const std::string& head,
                                    const Dataset& test, int threads);

// LoRA's adapters beside the merged model: OUT.lora.gguf, and OUT.lora/ for PEFT. A student has no
// base of its own that an adapter could name.
Status write_adapters(const Task& task, const Model& base, const Fitted& fitted,
                      const TaskArtifact& artifact, const BuildOptions& options);

// The checkpoint of the training that made `out`, once that is written.
void forget_checkpoint(const std::filesystem::path& out);

// Whether a teacher trained as describe_training() says is at `path`; an error when one is that was
// trained otherwise.
Result<bool> teacher_is_there(const std::filesystem::path& path, const std::string& description,
                              const BuildOptions& options);

// A kind of task whose teachers are builds of their own.
struct KindOfBuild {
  std::function<Result<BuildResult>(const Task&, const BuildOptions&)> build;
  // describe_training() of such a task from that base, on the rows at hand; `depends` is what else
  // it depends on.
  std::function<std::string(const Task&, const Model& base, const std::string& depends)> describe;
};

// Where a training begins.
struct Start {
  std::shared_ptr<const Model> teacher;  // null: none
  Student student;
  std::string description;  // of the training, for its checkpoint

  const char* label() const { return teacher == nullptr ? "training" : "student"; }
};

// The teacher, where the task wants one, and what is kept of it, or of `base`; a student is written
// to `path` and chosen by what it makes of `texts`. The teacher is the file the task names, or one
// that is built here and kept beside the result, where the next build finds it.
Result<Start> start_training(const Task& task, const std::shared_ptr<const Model>& base,
                             std::span<const std::string> texts, const std::filesystem::path& path,
                             const KindOfBuild& kind, const BuildOptions& options, int threads,
                             BuildResult& result);

// Says how the training went and how many texts lost tokens, and keeps the former in `result`.
void report_training(const std::string& label, TrainingResult training, std::int64_t parameters,
                     std::int64_t truncated, const Model& base, const BuildOptions& options,
                     BuildResult& result);

// The end of a build: when the gate accepted the candidate, `write` writes it to its place with its
// metrics and lineage. Errors: an interruption.
Status write_accepted(const Task& task, const Model& base, const DataSummary& data,
                      const Model& encoder, TaskArtifact& artifact, Json metrics,
                      const std::filesystem::path& candidate, const BuildOptions& options,
                      BuildResult& result, decltype(&write_task_model) write = &write_task_model);

Result<Json> make_lineage(const Task& task, const Model& base, const DataSummary& data,
                          const BuildOptions& options, const BuildResult& result);

}  // namespace tack
