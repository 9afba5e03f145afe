#include "tasks/build_embedding.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#include <fmt/ranges.h>

#include "base/cpu.h"
#include "tasks/artifact.h"
#include "tasks/build_steps.h"
#include "tasks/contrast.h"
#include "tasks/features.h"

namespace tack {
namespace {

using Clock = std::chrono::steady_clock;

// Texts of one label are measured against each other: some label must have two.
Status check_measurable(const PairSet& pairs, const char* which, const char* remedy) {
  if (pairs.kind != PairKind::kLabel) return {};
  std::vector<std::int32_t> sorted = pairs.labels;
  std::ranges::sort(sorted);
  if (std::ranges::adjacent_find(sorted) != sorted.end()) return {};
  return fail("{}: no label has two {} rows, so that one could find the other; {}", pairs.name,
              which, remedy);
}

const char* rows_name(PairKind kind) {
  return kind == PairKind::kLabel ? "labelled texts" : "pairs";
}

Status ask_gate(const Task& task, const PairSet& test, int threads, BuildResult& result) {
  const PairEvaluation& mine = *result.pairs;
  const int resamples = mine.gate_resamples();
  if (task.gate.floor)
    result.gate = gate_statistic(mine.quality_name(), mine.rows(), mine.statistic(), nullptr,
                                 {.floor = *task.gate.floor, .resamples = resamples});
  if (task.gate.baseline) {
    TACK_TRY(const auto path, resolve_model(*task.gate.baseline));
    TACK_TRY(const PairEvaluation baseline, evaluate_pairs(path, test, threads));
    result.gate =
        gate_statistic(mine.quality_name(), mine.rows(), mine.statistic(), baseline.statistic(),
                       {.margin = task.gate.margin, .resamples = resamples});
  }
  return {};
}

}  // namespace

Result<PairData> read_pair_data(const Task& task, BuildResult& result) {
  TACK_TRY(PairSet all, read_pairs(task.train));
  TACK_RETURN_IF_ERROR(check_trainable(all));
  PairData data;
  if (task.test.empty()) {
    const Split split = split_pairs(all, task.split_test, task.split_seed);
    data.test = all.subset(split.second);
    data.train = all.subset(split.first);
  } else {
    TACK_TRY(data.test, read_pairs(task.test_source()));
    data.train = std::move(all);
  }
  if (!task.validation.empty()) {
    TACK_TRY(data.validation, read_pairs(task.validation_source()));
  } else {
    const Split split = split_pairs(data.train, task.training.validation, task.split_seed);
    data.validation = data.train.subset(split.second);
    data.train = data.train.subset(split.first);
  }
  TACK_RETURN_IF_ERROR(check_trainable(data.train));
  TACK_RETURN_IF_ERROR(check_measurable(data.validation, "validation",
                                        "give [data] validation, or a larger [train] validation"));
  TACK_RETURN_IF_ERROR(
      check_measurable(data.test, "test", "give [data] test, or a larger [data] split_test"));
  result.train_rows = data.train.size();
  result.validation_rows = data.validation.size();
  result.test_rows = data.test.size();
  result.overlap = count_overlap(data.train, data.test);
  return data;
}

std::string describe_pairs(const Task& task, const PairData& data, const BuildResult& result) {
  std::string line =
      fmt::format("data: {} {} to learn from, {} for validation, {} for the test{}",
                  result.train_rows, rows_name(data.train.kind), result.validation_rows,
                  result.test_rows, task.test.empty() ? ", held out by content" : "");
  if (result.overlap > 0)
    line += fmt::format("; {} test texts also stand in the training rows", result.overlap);
  return line;
}

Result<BuildResult> build_embedding(const Task& task, const BuildOptions& options) {
  const auto start = Clock::now();
  const int threads = options.threads > 0 ? options.threads : cpu_info().logical_cores;
  BuildResult result;
  result.task = task;
  TACK_TRY(const PairData data, read_pair_data(task, result));
  say(options, describe_pairs(task, data, result));

  TACK_TRY(const auto base_path, resolve_model(task.base));
  TACK_TRY(const auto base, Model::open(base_path));
  result.base = base->name();
  const TemporaryFile student(options.out, ".student"), encoder(options.out, ".encoder");
  const auto describe = [&](const Task& of, const Model& from, const std::string& depends) {
    return describe_training(
        of, of.training, from, summary_of(data),
        fmt::format("kind {}\n{}", static_cast<int>(data.train.kind), depends));
  };
  TACK_TRY(const Start begin,
           start_training(task, base, data.train.texts, student.path(), {build_embedding, describe},
                          options, threads, result));
  TACK_TRY(TrainedEncoder trained,
           train_embedding(begin.student.model, data.train, data.validation, task.training,
                           begin.teacher, task.teacher, encoder.path(),
                           {.threads = threads,
                            .type = task.type,
                            .checkpoint = options.out.string() + ".checkpoint",
                            .description = begin.description,
                            .label = begin.label()}));
  result.head = fmt::format("encoder, {} epochs, epoch {} chosen on {} validation rows",
                            trained.training.epochs.size(), trained.training.best_epoch,
                            result.validation_rows);
  report_training(begin.label(), std::move(trained.training), trained.trained_parameters,
                  trained.truncated, *base, options, result);

  TaskArtifact artifact{.head = nullptr,
                        .labels = {},
                        .task = task.to_json(),
                        .calibration = Json::object(),
                        .metrics = Json::object(),
                        .lineage = Json::object(),
                        .name = task.name,
                        .licence = ""};
  const TemporaryFile candidate(options.out, ".candidate");
  TACK_RETURN_IF_ERROR(write_task_encoder(*trained.encoder, artifact, candidate.path()));
  TACK_TRY(result.pairs, evaluate_pairs(candidate.path(), data.test, threads));
  TACK_TRY(result.baseline_pairs, evaluate_pairs(base_path, data.test, threads));
  std::error_code ignored;
  result.baseline_bytes = std::filesystem::file_size(base_path, ignored);
  if (begin.teacher != nullptr) {
    TACK_TRY(result.teacher_pairs, evaluate_pairs(result.teacher, data.test, threads));
    result.teacher_bytes = std::filesystem::file_size(result.teacher, ignored);
  }
  TACK_RETURN_IF_ERROR(ask_gate(task, data.test, threads, result));
  TACK_RETURN_IF_ERROR(write_accepted(task, *base, summary_of(data), *trained.encoder, artifact,
                                      result.pairs->to_json(), candidate.path(), options, result,
                                      &write_task_encoder));
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return result;
}

}  // namespace tack
