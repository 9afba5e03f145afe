#include "tasks/build_tagger.h"

#include <chrono>
#include <system_error>

#include <fmt/ranges.h>

#include "base/cpu.h"
#include "base/progress.h"
#include "tasks/artifact.h"
#include "tasks/build_steps.h"
#include "tasks/features.h"
#include "tasks/tagging.h"

namespace tack {
namespace {

using Clock = std::chrono::steady_clock;

Result<TagEvaluation> measure(const std::filesystem::path& path, const Dataset& test, int threads) {
  TACK_TRY(auto tagger, Tagger::open(path, {.threads = threads}));
  Progress progress("evaluating", static_cast<std::int64_t>(test.size()), "rows");
  return evaluate(*tagger, test, {.progress = [&](std::int64_t rows) { progress.advance(rows); }});
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
  const TemporaryFile student(options.out, ".student"), encoder(options.out, ".encoder");
  const auto describe = [&](const Task& of, const Model& from, const std::string& depends) {
    return describe_training(of, of.training, from, summary_of(data), depends);
  };
  TACK_TRY(const Start begin, start_training(task, base, data.train.texts, student.path(),
                                             {build_tagger, describe}, options, threads, result));
  const auto inner = inner_lessons(task, begin.teacher, begin.student, options);
  TACK_TRY(TrainedTagger trained,
           train_tagger(begin.student.model, rules, data.train, data.validation, task.training,
                        begin.teacher, task.teacher, encoder.path(),
                        {.threads = threads,
                         .type = task.type,
                         .inner = inner ? &*inner : nullptr,
                         .checkpoint = options.out.string() + ".checkpoint",
                         .description = begin.description,
                         .label = begin.label()}));
  result.head = fmt::format("tagger with a CRF, {} epochs, epoch {} chosen on {} validation rows",
                            trained.training.epochs.size(), trained.training.best_epoch,
                            result.validation_rows);
  report_training(begin.label(), std::move(trained.training), trained.trained_parameters,
                  trained.truncated, *base, options, result);
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
  if (begin.teacher != nullptr) {
    std::error_code ignored;
    TACK_TRY(result.teacher_tagged, measure(result.teacher, data.test, threads));
    result.teacher_bytes = std::filesystem::file_size(result.teacher, ignored);
  }
  TACK_RETURN_IF_ERROR(ask_gate(
      task.gate, result.tagged->right(),
      [&](const std::filesystem::path& path) -> Result<std::vector<bool>> {
        TACK_TRY(const TagEvaluation baseline, measure(path, data.test, threads));
        return baseline.right();
      },
      result));
  TACK_RETURN_IF_ERROR(write_accepted(task, *base, summary_of(data), *trained.encoder, artifact,
                                      result.tagged->to_json(), candidate.path(), options, result));
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return result;
}

}  // namespace tack
