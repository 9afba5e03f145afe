#include "tasks/build.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <system_error>

#include <fmt/ranges.h>

#include "base/cpu.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/mapped_file.h"
#include "base/progress.h"
#include "eval/calibration.h"
#include "models/layers.h"
#include "tasks/artifact.h"
#include "tasks/build_embedding.h"
#include "tasks/build_steps.h"
#include "tasks/build_tagger.h"
#include "tasks/features.h"
#include "tasks/finetune.h"
#include "tasks/teacher.h"
#include "tasks/training_report.h"

namespace tack {
namespace {

using Clock = std::chrono::steady_clock;

struct Fitted {
  std::shared_ptr<const Model> encoder;  // the one the head belongs to
  LinearHead head;
  Json calibration;
  std::map<std::string, Adapter::Pair> adapters = {};  // of LoRA
};

// The frozen encoder with a logistic head, C by cross-validation.
Result<Fitted> fit_head(const Task& task, const std::shared_ptr<const Model>& base,
                        const Data& rows, const BuildOptions& options, int threads,
                        BuildResult& result) {
  std::int64_t dims = 0;
  Features features;
  {
    TACK_TRY(auto encoder,
             TextEncoder::create(base, {.threads = threads, .outputs = {"embedding"}}));
    dims = encoder->output_dim("embedding");
    const auto before = Clock::now();
    TACK_TRY(features, embed_rows(*encoder, rows.train));
    const double seconds = std::chrono::duration<double>(Clock::now() - before).count();
    say(options, fmt::format("encoder: {} embedded {} rows in {:.1f} s", base->name(),
                             result.train_rows, seconds));
  }
  ThreadPool pool(threads);
  const std::vector<float> targets = dense_targets(rows.train);
  const LabelledFeatures data{features.values, features.labels, dims,
                              static_cast<std::int32_t>(result.labels.size()), targets};
  const int folds =
      static_cast<int>(std::min<std::int64_t>(task.folds, std::max<std::int64_t>(2, data.rows())));
  {
    Progress progress("cross-validation", static_cast<std::int64_t>(task.c.size()) * folds, "fits");
    TACK_TRY(result.search, search_logistic(data,
                                            {.grid = task.c,
                                             .folds = folds,
                                             .seed = task.split_seed,
                                             .on_fit = [&] { progress.advance(); }},
                                            pool));
  }
  TACK_TRY(auto fitted, fit_logistic(data, {.c = result.search.c}, pool));
  std::string tried;
  for (const auto& point : result.search.points)
    tried +=
        fmt::format("{}C {:g}: {:.2f} %", tried.empty() ? "" : ", ", point.c, 100 * point.accuracy);
  say(options, fmt::format("cross-validation on the training rows: {}", tried));
  result.head = fmt::format("logistic regression, C = {:g} by cross-validation", result.search.c);
  // Each row's logits come from a fit that did not see it, so no rows need to be kept apart.
  return Fitted{
      base, std::move(fitted.head),
      targets.empty()
          ? calibrate(task, result.search.out_of_fold_logits, features.labels, data.classes, result)
          : calibrate_sets(result.search.out_of_fold_logits, targets, result)};
}

Result<Fitted> train_encoder(const Task& task, const TrainSettings& settings,
                             const std::shared_ptr<const Model>& base, const Data& rows,
                             const std::filesystem::path& path, const BuildOptions& options,
                             FineTuneOptions tuning, BuildResult& result) {
  TACK_TRY(FineTuned tuned, fine_tune(base, rows.train, rows.validation, settings, path, tuning));
  result.head =
      fmt::format("fine-tuned, {} epochs, epoch {} chosen on {} validation rows",
                  tuned.training.epochs.size(), tuned.training.best_epoch, result.validation_rows);
  say(options, training_text(tuning.label, tuned.training, tuned.trained_parameters));
  if (tuned.truncated > 0)
    say(options, fmt::format("training: {} texts were longer than {} tokens and were cut",
                             tuned.truncated, base->context_length()));
  result.training = std::move(tuned.training);
  result.trained_parameters = tuned.trained_parameters;
  Json calibration =
      task.kind == TaskKind::kMultilabel
          ? calibrate_sets(tuned.validation_logits, dense_targets(rows.validation), result)
          : calibrate(task, tuned.validation_logits, tuned.validation_labels, tuned.head.classes,
                      result);
  return Fitted{std::move(tuned.encoder), std::move(tuned.head), std::move(calibration),
                std::move(tuned.adapters)};
}

// The teacher's file: the one the task names, or one that is trained here and kept beside the
// result, where the next build finds it.
Result<std::filesystem::path> prepare_teacher(const Task& task,
                                              const std::shared_ptr<const Model>& task_base,
                                              const Data& rows, const BuildOptions& options,
                                              int threads, BuildResult& result) {
  if (!task.teacher.model.empty()) return resolve_model(task.teacher.model);
  std::filesystem::path path = options.out;
  path.replace_extension(".teacher.gguf");
  std::shared_ptr<const Model> base = task_base;
  if (!task.teacher.base.empty()) {
    TACK_TRY(const auto base_path, resolve_model(task.teacher.base));
    TACK_TRY(base, Model::open(base_path));
  }
  const std::string description =
      describe_training(task, task.teacher.training, *base, summary_of(rows), "");
  if (std::error_code ignored; std::filesystem::exists(path, ignored)) {
    TACK_TRY(const auto made, Model::open(path));
    if (const Json* lineage = made->tack_metadata("lineage");
        lineage != nullptr && lineage->is_object() &&
        lineage->value("training_of", "") == description) {
      say(options, fmt::format("teacher: {} is there already", path.string()));
      return path;
    }
    return fail(ErrorCode::kUsage,
                "{}: this teacher was trained otherwise than the task says; name it as [teacher] "
                "model to use it, or remove it to train it again",
                path.string());
  }
  const TemporaryFile encoder(path, ".encoder");
  BuildResult ignored = result;
  TACK_TRY(const Fitted fitted,
           train_encoder(task, task.teacher.training, base, rows, encoder.path(), options,
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
  return path;
}

// Trains the task's model: with a teacher when it wants one, and with the layers it keeps.
Result<Fitted> train_model(const Task& task, const std::shared_ptr<const Model>& base,
                           const Data& rows, const std::filesystem::path& path,
                           const BuildOptions& options, int threads, BuildResult& result) {
  std::optional<Teaching> teaching;
  std::shared_ptr<const Model> start = base;
  std::string teacher_text =
      fmt::format("layers {} {}\n", fmt::join(task.layers, " "), task.layer_count);
  if (task.teacher.wanted) {
    TACK_TRY(const auto teacher, prepare_teacher(task, base, rows, options, threads, result));
    std::vector<std::string> texts;
    if (!task.teacher.unlabelled.empty()) {
      TACK_TRY(texts, read_unlabelled(task.teacher.unlabelled, task.train.text));
    }
    TACK_TRY(teaching, ask_teacher(teacher, result.labels, rows.train, std::move(texts), threads));
    teaching->temperature = task.teacher.temperature;
    teaching->labels = task.teacher.labels;
    TACK_TRY(start, Model::open(teacher));
    TACK_TRY(const auto file, MappedFile::open(teacher));
    teacher_text += fmt::format("teacher {}\n{}\n", sha256_hex(file.text()),
                                to_text(task.teacher.to_json(), 1));
    result.teacher = teacher;
    say(options, fmt::format("teacher: {} answered {} texts", teacher.string(),
                             rows.train.size() + teaching->texts.size()));
  }
  const TemporaryFile student(options.out, ".student");
  TACK_TRY(start, keep_layers(task, start, student.path(), options));
  return train_encoder(
      task, task.training, start, rows, path, options,
      {.threads = threads,
       .type = task.type,
       .teaching = teaching ? &*teaching : nullptr,
       .checkpoint = options.out.string() + ".checkpoint",
       .description = describe_training(task, task.training, *base, summary_of(rows), teacher_text),
       .label = teaching ? "student" : "training"},
      result);
}

// Whether the baseline is right on each row of any number of labels.
Result<std::vector<bool>> baseline_sets(TaskPredictor& baseline, const Dataset& test) {
  std::vector<std::string_view> texts(test.texts.begin(), test.texts.end());
  TACK_TRY(const auto predictions, baseline.predict(texts));
  std::vector<bool> right;
  for (std::size_t i = 0; i < test.size(); ++i) {
    std::set<std::string> truth, said;
    for (std::int32_t k : test.label_sets[i])
      truth.insert(test.label_names[static_cast<std::size_t>(k)]);
    for (std::size_t k : predictions[i].labels) said.insert(baseline.labels()[k]);
    right.push_back(truth == said);
  }
  return right;
}

// Whether the baseline is right on each in-scope row; its labels may be in another order.
Result<std::vector<bool>> baseline_answers(const std::string& name, const Dataset& test,
                                           int threads) {
  TACK_TRY(const auto path, resolve_model(name));
  TACK_TRY(auto baseline, TaskPredictor::open(path, {.threads = threads}));
  if (baseline->multilabel() == test.label_sets.empty())
    return fail(ErrorCode::kUsage, "{}: the baseline gives {} a text, the test rows have {}",
                path.string(), baseline->multilabel() ? "any number of labels" : "one label",
                baseline->multilabel() ? "one" : "any number");
  if (baseline->multilabel()) return baseline_sets(*baseline, test);
  std::vector<std::string_view> texts(test.texts.begin(), test.texts.end());
  TACK_TRY(const auto predictions, baseline->predict(texts));
  std::vector<bool> right;
  for (std::size_t i = 0; i < test.size(); ++i)
    if (const std::int32_t truth = test.labels[i]; truth >= 0)
      right.push_back(baseline->labels()[predictions[i].label] ==
                      test.label_names[static_cast<std::size_t>(truth)]);
  return right;
}

Status ask_gate(const Task& task, const Dataset& test, int threads, BuildResult& result) {
  const std::vector<bool> right =
      result.label_sets ? result.label_sets->right() : result.evaluation.right();
  if (task.gate.floor) result.gate = gate_against_floor(right, {.floor = *task.gate.floor});
  if (task.gate.baseline) {
    TACK_TRY(const auto baseline, baseline_answers(*task.gate.baseline, test, threads));
    result.gate = gate_against_baseline(right, baseline, {.margin = task.gate.margin});
  }
  return {};
}

// Runs a task model over the test rows, whose labels may stand in another order than the model's.
struct Measured {
  Evaluation evaluation;
  std::optional<LabelSetEvaluation> label_sets;
};
Result<Measured> measure(const std::filesystem::path& path, Dataset rows, int threads,
                         const EvaluateOptions& options = {}) {
  TACK_TRY(auto predictor, TaskPredictor::open(path, {.threads = threads}));
  const std::vector<std::string>& labels = predictor->labels();
  const auto move = [&](std::int32_t& label) {
    if (label >= 0)
      label = static_cast<std::int32_t>(
          std::ranges::find(labels, rows.label_names[static_cast<std::size_t>(label)]) -
          labels.begin());
  };
  Measured out;
  if (predictor->multilabel()) {
    for (auto& set : rows.label_sets) {
      for (std::int32_t& label : set) move(label);
      std::ranges::sort(set);
    }
    TACK_TRY(out.label_sets, evaluate_label_sets(*predictor, rows, options));
    return out;
  }
  for (std::int32_t& label : rows.labels) move(label);
  rows.label_names = labels;
  TACK_TRY(out.evaluation, evaluate(*predictor, rows, options));
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

// LoRA's adapters beside the merged model: OUT.lora.gguf, and OUT.lora/ for PEFT. A student has no
// base of its own that an adapter could name.
Status write_adapters(const Task& task, const Model& base, const Fitted& fitted,
                      const TaskArtifact& artifact, const BuildOptions& options) {
  if (fitted.adapters.empty() || !task.layers.empty() || task.layer_count > 0 ||
      task.teacher.wanted)
    return {};
  const Adapter adapter{.rank = task.training.rank,
                        .pairs = fitted.adapters,
                        .labels = artifact.labels,
                        .head_weight = fitted.head.weight,
                        .head_bias = fitted.head.bias,
                        .task = artifact.task,
                        .calibration = artifact.calibration,
                        .lineage = artifact.lineage};
  std::filesystem::path path = options.out;
  TACK_RETURN_IF_ERROR(write_adapter(base, adapter, path.replace_extension(".lora.gguf")));
  say(options, fmt::format("adapter: {}, and {} for PEFT", path.string(),
                           path.replace_extension("").string()));
  return write_peft_adapter(base, adapter, path);
}

}  // namespace

Result<BuildResult> build_task(const Task& task, const BuildOptions& options) {
  if (task.kind == TaskKind::kTag) return build_tagger(task, options);
  if (task.kind == TaskKind::kEmbed) return build_embedding(task, options);
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
  if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
  std::error_code ignored;
  result.model_bytes = std::filesystem::file_size(candidate.path(), ignored);
  if (result.accepted()) {
    artifact.metrics = result.label_sets ? result.label_sets->to_json(result.labels)
                                         : result.evaluation.to_json(result.labels);
    if (Json compared = comparison_json(result); !compared.empty())
      artifact.metrics["compared"] = std::move(compared);
    TACK_TRY(artifact.lineage, make_lineage(task, *base, summary_of(data), options, result));
    TACK_RETURN_IF_ERROR(write_task_model(*fitted.encoder, artifact, options.out));
    TACK_RETURN_IF_ERROR(write_adapters(task, *base, fitted, artifact, options));
    result.model_bytes = std::filesystem::file_size(options.out, ignored);
  }
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return result;
}

}  // namespace tack
