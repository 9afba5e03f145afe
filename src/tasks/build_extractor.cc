#include "tasks/build_extractor.h"

#include <chrono>
#include <system_error>

#include <fmt/ranges.h>

#include "base/cpu.h"
#include "base/progress.h"
#include "tasks/artifact.h"
#include "tasks/build_steps.h"
#include "tasks/extracting.h"
#include "tasks/features.h"

namespace tack {
namespace {

using Clock = std::chrono::steady_clock;

struct Questions {
  QuestionSet train, validation, test;
};

Result<Questions> read(const Task& task, BuildResult& result) {
  TACK_TRY(QuestionSet all, read_questions(task.train));
  Questions data;
  const auto divide = [&](double share, QuestionSet& second) {
    const Split split = split_questions(all, share, task.split_seed);
    second = all.subset(split.second);
    all = all.subset(split.first);
  };
  if (task.test.empty()) {
    divide(task.split_test, data.test);
  } else {
    TACK_TRY(data.test, read_questions(task.test_source()));
  }
  if (task.limit > 0)
    all = pick_questions(all, static_cast<std::size_t>(task.limit), task.split_seed);
  if (task.validation.empty()) {
    divide(task.training.validation, data.validation);
  } else {
    TACK_TRY(data.validation, read_questions(task.validation_source()));
  }
  data.train = std::move(all);
  if (data.train.answerable() == 0)
    return fail("{}: no question to learn from has an answer{}", data.train.name,
                data.train.size() == 0 ? ": all are held out; add others" : "");
  result.train_rows = data.train.size();
  result.validation_rows = data.validation.size();
  result.test_rows = data.test.size();
  result.overlap = count_context_overlap(data.train, data.test);
  result.detectable_loss = detectable_loss(static_cast<std::int64_t>(result.test_rows));
  return data;
}

std::string describe(const Task& task, const Questions& data, const BuildResult& result) {
  std::string line = fmt::format(
      "data: {} training questions about {} contexts, {} validation questions, {} test "
      "questions{}",
      data.train.size(), data.train.contexts.size(), data.validation.size(), data.test.size(),
      task.test.empty() ? " held out by document" : "");
  if (const std::size_t none = data.train.size() - data.train.answerable(); none > 0)
    line += fmt::format("; {} training questions have no answer", none);
  if (result.overlap > 0)
    line += fmt::format("; the contexts of {} test questions also stand in the training rows",
                        result.overlap);
  return line;
}

Result<ExtractEvaluation> measure(const std::filesystem::path& path, const QuestionSet& data,
                                  int threads, const char* doing = "evaluating") {
  TACK_TRY(auto extractor, Extractor::open(path, {.threads = threads}));
  Progress progress(doing, static_cast<std::int64_t>(data.size()), "rows");
  return evaluate(*extractor, data,
                  {.progress = [&](std::int64_t rows) { progress.advance(rows); }});
}

// The threshold of the margin, from the candidate's own answers to the validation questions; the
// candidate answers all of them.
Result<double> fit_threshold(const std::filesystem::path& candidate, const QuestionSet& data,
                             int threads) {
  TACK_TRY(const ExtractEvaluation said, measure(candidate, data, threads, "calibrating"));
  std::vector<double> margins, answered, refused;
  for (std::size_t i = 0; i < data.size(); ++i) {
    margins.push_back(said.answers[i].margin);
    answered.push_back(said.scores[i].f1);
    refused.push_back(data.questions[i].answers.empty() ? 1 : 0);
  }
  return fit_answer_threshold(margins, answered, refused);
}

Result<TrainedExtractor> train_model(const Task& task, const std::shared_ptr<const Model>& base,
                                     const Questions& data, const std::filesystem::path& path,
                                     const BuildOptions& options, int threads,
                                     BuildResult& result) {
  const TemporaryFile student(options.out, ".student");
  const auto describe = [&](const Task& of, const Model& from, const std::string& depends) {
    return describe_training(of, of.training, from, summary_of(data), depends);
  };
  TACK_TRY(const Start begin,
           start_training(task, base, data.train.contexts, student.path(),
                          {build_extractor, describe}, options, threads, result));
  TACK_TRY(TrainedExtractor trained,
           train_extractor(begin.student.model, data.train, data.validation, task.training,
                           begin.teacher, task.teacher, path,
                           {.threads = threads,
                            .type = task.type,
                            .checkpoint = options.out.string() + ".checkpoint",
                            .description = begin.description,
                            .label = begin.label()}));
  result.head = fmt::format("extractor, {} epochs, epoch {} chosen on {} validation questions",
                            trained.training.epochs.size(), trained.training.best_epoch,
                            result.validation_rows);
  report_training(begin.label(), std::move(trained.training), trained.trained_parameters, 0, *base,
                  options, result);
  if (const auto more = trained.windows - static_cast<std::int64_t>(data.train.size());
      more > 0 || trained.left_out > 0)
    say(options, fmt::format("training: {} windows of {} questions; {} questions were left out, "
                             "since no window holds their answer",
                             trained.windows, data.train.size(), trained.left_out));
  return trained;
}

}  // namespace

Result<BuildResult> build_extractor(const Task& asked, const BuildOptions& options) {
  const auto start = Clock::now();
  const int threads = options.threads > 0 ? options.threads : cpu_info().logical_cores;
  BuildResult result;
  Task task = asked;
  TACK_TRY(const auto base_path, resolve_model(task.base));
  TACK_TRY(const auto base, Model::open(base_path));
  result.base = base->name();
  TACK_TRY(const WindowRule rule, window_rule(task.training, *base));
  TACK_TRY(const Questions data, read(task, result));
  result.task = task;
  say(options, describe(task, data, result));

  const TemporaryFile encoder(options.out, ".encoder"), candidate(options.out, ".candidate");
  TACK_TRY(TrainedExtractor trained,
           train_model(task, base, data, encoder.path(), options, threads, result));

  TaskArtifact artifact{.span_head = &trained.head,
                        .task = task.to_json(),
                        .calibration = {{"window", rule.length}, {"overlap", rule.overlap}},
                        .metrics = Json::object(),
                        .lineage = Json::object(),
                        .name = task.name,
                        .licence = ""};
  TACK_RETURN_IF_ERROR(write_task_model(*trained.encoder, artifact, candidate.path()));
  if (data.train.answerable() < data.train.size()) {
    TACK_TRY(const double threshold, fit_threshold(candidate.path(), data.validation, threads));
    artifact.calibration["answer_threshold"] = threshold;
    say(options, fmt::format("calibration: no answer below a margin of {:.2f}", threshold));
    TACK_RETURN_IF_ERROR(write_task_model(*trained.encoder, artifact, candidate.path()));
  }
  TACK_TRY(result.extracted, measure(candidate.path(), data.test, threads));
  if (!result.teacher.empty()) {
    std::error_code ignored;
    TACK_TRY(result.teacher_extracted, measure(result.teacher, data.test, threads));
    result.teacher_bytes = std::filesystem::file_size(result.teacher, ignored);
  }
  TACK_RETURN_IF_ERROR(ask_gate(
      task.gate, result.extracted->right(),
      [&](const std::filesystem::path& path) -> Result<std::vector<bool>> {
        TACK_TRY(const ExtractEvaluation baseline, measure(path, data.test, threads));
        return baseline.right();
      },
      result));
  TACK_RETURN_IF_ERROR(write_accepted(task, *base, summary_of(data), *trained.encoder, artifact,
                                      result.extracted->to_json(), candidate.path(), options,
                                      result));
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return result;
}

}  // namespace tack
