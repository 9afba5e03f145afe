#include "tasks/build_tagger.h"

#include <chrono>
#include <system_error>

#include <fmt/ranges.h>

#include "base/cpu.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/mapped_file.h"
#include "base/progress.h"
#include "tasks/artifact.h"
#include "tasks/build_steps.h"
#include "tasks/features.h"
#include "tasks/tagging.h"
#include "tasks/training_report.h"

namespace tack {
namespace {

using Clock = std::chrono::steady_clock;

Result<TagEvaluation> measure(const std::filesystem::path& path, const Dataset& test, int threads) {
  TACK_TRY(auto tagger, Tagger::open(path, {.threads = threads}));
  Progress progress("evaluating", static_cast<std::int64_t>(test.size()), "rows");
  return evaluate(*tagger, test, {.progress = [&](std::int64_t rows) { progress.advance(rows); }});
}

Status ask_gate_about_spans(const Task& task, const Dataset& test, int threads,
                            BuildResult& result) {
  if (task.gate.floor)
    result.gate = gate_against_floor(result.tagged->right(), {.floor = *task.gate.floor});
  if (task.gate.baseline) {
    TACK_TRY(const auto path, resolve_model(*task.gate.baseline));
    TACK_TRY(const TagEvaluation baseline, measure(path, test, threads));
    result.gate = gate_against_baseline(result.tagged->right(), baseline.right(),
                                        {.margin = task.gate.margin});
  }
  return {};
}

}  // namespace

Result<BuildResult> build_tagger(const Task& task, const BuildOptions& options) {
  const auto start = Clock::now();
  const int threads = options.threads > 0 ? options.threads : cpu_info().logical_cores;
  BuildResult result;
  result.task = task;
  TACK_TRY(const Data data, read_data(task, result));
  const TagRules rules = bio_rules(data.train.span_names);
  say(options, fmt::format("{}; {} kinds of spans: {}", describe_data(task, result),
                           data.train.span_names.size(), fmt::join(data.train.span_names, ", ")));
  if (data.train.span_names.empty())
    return fail("{}: no text has a span; there is nothing to learn", data.train.name);

  TACK_TRY(const auto base_path, resolve_model(task.base));
  TACK_TRY(const auto base, Model::open(base_path));
  result.base = base->name();
  std::shared_ptr<const Model> first = base, teacher;
  std::string depends = fmt::format("student {}\n", to_text(task.student.to_json()));
  if (task.teacher.wanted) {
    TACK_TRY(result.teacher, built_teacher(task, options, build_tagger));
    TACK_TRY(teacher, Model::open(result.teacher));
    TACK_TRY(const auto file, MappedFile::open(result.teacher));
    depends += fmt::format("teacher {}\n{}\n", sha256_hex(file.text()),
                           to_text(task.teacher.to_json(), 1));
    first = teacher;
  }
  const TemporaryFile student(options.out, ".student"), encoder(options.out, ".encoder");
  TACK_TRY(const Student cut,
           make_student(first, task.student, data.train.texts, student.path(), threads));
  if (!cut.description.empty()) say(options, cut.description);
  const auto inner = inner_lessons(task, teacher, cut, options);
  TACK_TRY(TrainedTagger trained,
           train_tagger(cut.model, rules, data.train, data.validation, task.training, teacher,
                        task.teacher, encoder.path(),
                        {.threads = threads,
                         .type = task.type,
                         .inner = inner ? &*inner : nullptr,
                         .checkpoint = options.out.string() + ".checkpoint",
                         .description = describe_training(task, task.training, *base,
                                                          summary_of(data), depends),
                         .label = teacher ? "student" : "training"}));
  result.head = fmt::format("tagger with a CRF, {} epochs, epoch {} chosen on {} validation rows",
                            trained.training.epochs.size(), trained.training.best_epoch,
                            result.validation_rows);
  say(options, training_text(teacher ? "student" : "training", trained.training,
                             trained.trained_parameters));
  if (trained.truncated > 0)
    say(options, fmt::format("training: {} texts were longer than {} tokens and were cut",
                             trained.truncated, base->context_length()));
  result.training = std::move(trained.training);
  result.trained_parameters = trained.trained_parameters;
  Json calibration = Json::object();
  if (trained.label)
    calibration = calibrate(task, trained.validation_logits, trained.validation_labels,
                            trained.label->classes, result);

  TaskArtifact artifact{.head = trained.label ? &*trained.label : nullptr,
                        .labels = result.labels,
                        .tag_head = &trained.tags,
                        .tags = rules.names(),
                        .task = task.to_json(),
                        .calibration = std::move(calibration),
                        .metrics = Json::object(),
                        .lineage = Json::object(),
                        .name = task.name,
                        .licence = ""};
  const TemporaryFile candidate(options.out, ".candidate");
  TACK_RETURN_IF_ERROR(write_task_model(*trained.encoder, artifact, candidate.path()));
  TACK_TRY(result.tagged, measure(candidate.path(), data.test, threads));
  std::error_code ignored;
  if (teacher != nullptr) {
    TACK_TRY(result.teacher_tagged, measure(result.teacher, data.test, threads));
    result.teacher_bytes = std::filesystem::file_size(result.teacher, ignored);
  }
  TACK_RETURN_IF_ERROR(ask_gate_about_spans(task, data.test, threads, result));
  if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
  result.model_bytes = std::filesystem::file_size(candidate.path(), ignored);
  if (result.accepted()) {
    artifact.metrics = result.tagged->to_json();
    if (Json compared = comparison_json(result); !compared.empty())
      artifact.metrics["compared"] = std::move(compared);
    TACK_TRY(artifact.lineage, make_lineage(task, *base, summary_of(data), options, result));
    TACK_RETURN_IF_ERROR(write_task_model(*trained.encoder, artifact, options.out));
  }
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return result;
}

}  // namespace tack
