#include "tasks/build.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#include <fmt/ranges.h>

#include "base/cpu.h"
#include "base/hash.h"
#include "base/mapped_file.h"
#include "base/progress.h"
#include "eval/calibration.h"
#include "tasks/artifact.h"
#include "tasks/augment.h"
#include "tasks/build_embedding.h"
#include "tasks/build_extractor.h"
#include "tasks/build_generator.h"
#include "tasks/build_multitask.h"
#include "tasks/build_steps.h"
#include "tasks/build_tagger.h"
#include "tasks/features.h"
#include "tasks/finetune.h"
#include "tasks/teacher.h"

namespace tack {
namespace {

using Clock = std::chrono::steady_clock;

Result<Fitted> train_encoder(const Task& task, const TrainSettings& settings,
                             const std::shared_ptr<const Model>& base, const Data& rows,
                             const std::filesystem::path& path, const BuildOptions& options,
                             FineTuneOptions tuning, BuildResult& result) {
  TACK_TRY(FineTuned tuned, fine_tune(base, rows.train, rows.validation, settings, path, tuning));
  result.head =
      fmt::format("fine-tuned, {} epochs, epoch {} chosen on {} validation rows",
                  tuned.training.epochs.size(), tuned.training.best_epoch, result.validation_rows);
  report_training(tuning.label, std::move(tuned.training), tuned.trained_parameters,
                  tuned.truncated, *base, options, result);
  Json calibration =
      task.kind == TaskKind::kMultilabel
          ? calibrate_sets(tuned.validation_logits, dense_targets(rows.validation), result)
          : calibrate(task, tuned.validation_logits, tuned.validation_labels, tuned.head.classes,
                      result);
  return Fitted{std::move(tuned.encoder), std::move(tuned.head), std::move(calibration),
                std::move(tuned.adapters)};
}

// The file of teacher `number`, which is trained here and kept beside the result, where the next
// build finds it.
Result<std::filesystem::path> train_teacher(const Task& task, std::int64_t number,
                                            const std::shared_ptr<const Model>& task_base,
                                            const Data& rows, const BuildOptions& options,
                                            int threads, BuildResult& result) {
  std::filesystem::path path = options.out;
  path.replace_extension(number == 0 ? ".teacher.gguf"
                                     : fmt::format(".teacher{}.gguf", number + 1));
  TrainSettings settings = task.teacher.training;
  settings.loop.seed += static_cast<std::uint64_t>(number);
  std::shared_ptr<const Model> base = task_base;
  if (!task.teacher.base.empty()) {
    TACK_TRY(const auto base_path, resolve_model(task.teacher.base));
    TACK_TRY(base, Model::open(base_path));
  }
  const std::string description = describe_training(task, settings, *base, summary_of(rows), "");
  TACK_TRY(const bool there, teacher_is_there(path, description, options));
  if (there) return path;
  const TemporaryFile encoder(path, ".encoder");
  BuildResult ignored = result;
  TACK_TRY(const Fitted fitted, train_encoder(task, settings, base, rows, encoder.path(), options,
                                              {.threads = threads,
                                               .type = "f16",
                                               .checkpoint = path.string() + ".checkpoint",
                                               .description = description,
                                               .label = "teacher"},
                                              ignored));
  const TaskArtifact artifact{.head = &fitted.head,
                              .labels = result.labels,
                              .task = task.to_json(),
                              .calibration = fitted.calibration,
                              .metrics = Json::object(),
                              .lineage = {{"base", base->name()},
                                          {"training_of", description},
                                          {"command", options.command}},
                              .name = task.name + " teacher",
                              .licence = ""};
  TACK_RETURN_IF_ERROR(write_task_model(*fitted.encoder, artifact, path));
  forget_checkpoint(path);
  return path;
}

// The teachers' files: those the task names, or trained ones.
Result<std::vector<std::filesystem::path>> prepare_teachers(
    const Task& task, const std::shared_ptr<const Model>& base, const Data& rows,
    const BuildOptions& options, int threads, BuildResult& result) {
  std::vector<std::filesystem::path> paths;
  for (const std::string& model : task.teacher.models) {
    TACK_TRY(paths.emplace_back(), resolve_model(model));
  }
  for (std::int64_t i = 0; task.teacher.models.empty() && i < task.teacher.count; ++i) {
    TACK_TRY(paths.emplace_back(), train_teacher(task, i, base, rows, options, threads, result));
  }
  return paths;
}

// What the teachers say to the training rows, to texts without labels and to changed rows; the
// first is the model to start from.
Result<Teaching> be_taught(const Task& task, const std::shared_ptr<const Model>& base,
                           const Data& rows, const BuildOptions& options, int threads,
                           BuildResult& result) {
  TACK_TRY(const auto paths, prepare_teachers(task, base, rows, options, threads, result));
  std::vector<std::string> texts;
  if (!task.teacher.unlabelled.empty()) {
    TACK_TRY(texts, read_unlabelled(task.teacher.unlabelled, task.train.text));
  }
  const auto variants =
      text_variants(rows.train.texts, task.teacher.variants, task.training.loop.seed);
  texts.insert(texts.end(), variants.begin(), variants.end());
  TACK_TRY(Teaching teaching, ask_teachers(paths, result.labels, rows.train, std::move(texts),
                                           task.teacher.temperature, threads));
  teaching.labels = task.teacher.labels;
  result.teacher = paths.front();
  result.other_teachers.assign(paths.begin() + 1, paths.end());
  std::vector<std::string> names;
  for (const auto& path : paths) names.push_back(path.string());
  say(options, fmt::format("teacher: {} answered {} texts", fmt::join(names, ", "),
                           rows.train.size() + teaching.texts.size()));
  return teaching;
}

// Trains the task's model: with a teacher when it wants one, and with the part it keeps.
Result<Fitted> train_model(const Task& task, const std::shared_ptr<const Model>& base,
                           const Data& rows, const std::filesystem::path& path,
                           const BuildOptions& options, int threads, BuildResult& result) {
  std::optional<Teaching> teaching;
  std::shared_ptr<const Model> start = base;
  std::string depends = fmt::format("student {}\n", to_text(task.student.to_json()));
  if (task.teacher.wanted) {
    TACK_TRY(teaching, be_taught(task, base, rows, options, threads, result));
    TACK_TRY(start, Model::open(result.teacher));
    std::vector<std::filesystem::path> files = {result.teacher};
    files.insert(files.end(), result.other_teachers.begin(), result.other_teachers.end());
    for (const auto& name : files) {
      TACK_TRY(const auto file, MappedFile::open(name));
      depends += fmt::format("teacher {}\n", sha256_hex(file.text()));
    }
    depends += to_text(task.teacher.to_json(), 1) + '\n';
  }
  const TemporaryFile file(options.out, ".student");
  TACK_TRY(const Student student,
           make_student(start, task.student, rows.train.texts, file.path(), threads));
  if (!student.description.empty()) say(options, student.description);
  const auto inner = inner_lessons(task, start, student, options);
  return train_encoder(
      task, task.training, student.model, rows, path, options,
      {.threads = threads,
       .type = task.type,
       .teaching = teaching ? &*teaching : nullptr,
       .inner = inner ? &*inner : nullptr,
       .checkpoint = options.out.string() + ".checkpoint",
       .description = describe_training(task, task.training, *base, summary_of(rows), depends),
       .label = teaching ? "student" : "training"},
      result);
}

// Runs a task model over the test rows, whose labels may stand in another order than the model's.
struct Measured {
  Evaluation evaluation;
  std::optional<LabelSetEvaluation> label_sets;
};
Result<Measured> measure(const std::filesystem::path& path, const Dataset& test, int threads,
                         const EvaluateOptions& options = {}) {
  TACK_TRY(auto predictor, TaskPredictor::open(path, {.threads = threads}));
  const Dataset rows = with_labels_of(test, predictor->labels());
  Measured out;
  if (predictor->multilabel()) {
    TACK_TRY(out.label_sets, evaluate_label_sets(*predictor, rows, options));
  } else {
    TACK_TRY(out.evaluation, evaluate(*predictor, rows, options));
  }
  return out;
}

// tack.calibration of a logistic head on the base as it is: label sets need a threshold, chosen on
// the validation rows as that of the trained model is.
Result<Json> baseline_calibration(const std::shared_ptr<const Model>& base, const LinearHead& head,
                                  const Dataset& validation, int threads) {
  if (validation.label_sets.empty()) return Json::object();
  TACK_TRY(auto encoder, TextEncoder::create(base, {.threads = threads, .outputs = {"embedding"}}));
  TACK_TRY(const Features features, embed_rows(*encoder, validation));
  ThreadPool pool(threads);
  return calibrate_sigmoid(head.logits(features.values, pool), dense_targets(validation)).to_json();
}

// For the report, on the same rows: the base as it was with a logistic head, and the teacher.
Status compare(const std::shared_ptr<const Model>& base, const Data& data,
               const std::filesystem::path& out, int threads, BuildResult& result) {
  std::error_code ignored;
  {
    const TemporaryFile file(out, ".baseline");
    TACK_TRY(const LinearHead head, frozen_head(base, data.train, 10, threads));
    TACK_TRY(Json calibration, baseline_calibration(base, head, data.validation, threads));
    const TaskArtifact artifact{.head = &head,
                                .labels = result.labels,
                                .task = Json::object(),
                                .calibration = std::move(calibration),
                                .metrics = Json::object(),
                                .lineage = Json::object(),
                                .name = base->name(),
                                .licence = ""};
    TACK_RETURN_IF_ERROR(write_task_model(*base, artifact, file.path()));
    TACK_TRY(Measured measured, measure(file.path(), data.test, threads));
    result.baseline_evaluation = std::move(measured.evaluation);
    result.baseline_label_sets = std::move(measured.label_sets);
    result.baseline_bytes = std::filesystem::file_size(file.path(), ignored);
  }
  if (result.teacher.empty()) return {};
  TACK_TRY(Measured measured, measure(result.teacher, data.test, threads));
  result.teacher_evaluation = std::move(measured.evaluation);
  result.teacher_label_sets = std::move(measured.label_sets);
  result.teacher_bytes = std::filesystem::file_size(result.teacher, ignored);
  return {};
}

}  // namespace

namespace {

Result<BuildResult> build_of_kind(const Task& task, const BuildOptions& options) {
  if (task.kind == TaskKind::kTag) return build_tagger(task, options);
  if (!task.heads.empty()) return build_multitask(task, options);
  if (task.kind == TaskKind::kSpan) return build_extractor(task, options);
  if (task.kind == TaskKind::kEmbed) return build_embedding(task, options);
  if (task.kind == TaskKind::kGenerate) return build_generator(task, options);
  const auto start = Clock::now();
  const int threads = options.threads > 0 ? options.threads : cpu_info().logical_cores;
  BuildResult result;
  result.task = task;
  TACK_TRY(const Data data, read_data(task, result));
  say(options, describe_data(task, result));
  say(options, fmt::format("gate: on {} rows the smallest loss it can tell from none is {:.2f} "
                           "points, when 3 % of the answers differ",
                           result.test_rows, 100 * result.detectable_loss));

  TACK_TRY(const auto base_path, resolve_model(task.base));
  TACK_TRY(const auto base, Model::open(base_path));
  result.base = base->name();
  const TemporaryFile encoder(options.out, ".encoder");
  TACK_TRY(const Fitted fitted,
           task.training.method == TrainMethod::kHead
               ? fit_head(task, base, data, options, threads, result)
               : train_model(task, base, data, encoder.path(), options, threads, result));
  say(options, fmt::format("head: {}; {}", result.head, calibration_text(result)));

  TaskArtifact artifact{.head = &fitted.head,
                        .labels = result.labels,
                        .task = task.to_json(),
                        .calibration = fitted.calibration,
                        .metrics = Json::object(),
                        .lineage = Json::object(),
                        .name = task.name,
                        .licence = ""};
  const TemporaryFile candidate(options.out, ".candidate");
  TACK_RETURN_IF_ERROR(write_task_model(*fitted.encoder, artifact, candidate.path()));
  {
    Progress progress("evaluating", static_cast<std::int64_t>(data.test.size()), "rows");
    TACK_TRY(Measured measured,
             measure(candidate.path(), data.test, threads,
                     {.progress = [&](std::int64_t rows) { progress.advance(rows); }}));
    result.evaluation = std::move(measured.evaluation);
    result.label_sets = std::move(measured.label_sets);
  }
  if (result.training) TACK_RETURN_IF_ERROR(compare(base, data, options.out, threads, result));
  TACK_RETURN_IF_ERROR(ask_gate(task, data.test, threads, result));
  TACK_RETURN_IF_ERROR(write_accepted(task, *base, summary_of(data), *fitted.encoder, artifact,
                                      result.label_sets ? result.label_sets->to_json(result.labels)
                                                        : result.evaluation.to_json(result.labels),
                                      candidate.path(), options, result));
  if (result.accepted()) {
    std::error_code ignored;
    TACK_RETURN_IF_ERROR(write_adapters(task, *base, fitted, artifact, options));
    result.model_bytes = std::filesystem::file_size(options.out, ignored);
  }
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return result;
}

}  // namespace

Result<BuildResult> build_task(const Task& task, const BuildOptions& options) {
  TACK_TRY(BuildResult result, build_of_kind(task, options));
  forget_checkpoint(options.out);
  return result;
}

}  // namespace tack
