#include "tasks/build_generator.h"

#include <chrono>
#include <system_error>

#include "base/cpu.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/mapped_file.h"
#include "base/progress.h"
#include "eval/documents.h"
#include "tasks/artifact.h"
#include "tasks/build_steps.h"
#include "tasks/features.h"
#include "tasks/generator.h"
#include "tasks/new_decoder.h"
#include "tasks/training_report.h"

namespace tack {
namespace {

using Clock = std::chrono::steady_clock;

std::size_t bytes_of(const Dataset& documents) {
  std::size_t bytes = 0;
  for (const std::string& text : documents.texts) bytes += text.size();
  return bytes;
}

// The file of a part, or documents of the training text, held out by a hash of their content.
Result<Dataset> part_of_text(const std::string& path, double share, const char* key,
                             std::uint64_t seed, Dataset& train) {
  if (!path.empty()) return read_documents(std::span(&path, 1));
  const Split split = split_by_content(train, share, seed);
  if (split.first.empty())
    return fail(ErrorCode::kUsage,
                "{}: of {} document{} none is left to learn from once some are held out; give "
                "[data] {}, or more documents (blank lines or {} end one)",
                train.name, train.size(), train.size() == 1 ? "" : "s", key, kEndOfText);
  Dataset part = train.subset(split.second);
  train = train.subset(split.first);
  return part;
}

Result<Data> read_text(const Task& task, BuildResult& result) {
  Data data;
  TACK_TRY(data.train, read_documents(task.generate.train));
  TACK_TRY(data.test,
           part_of_text(task.test, task.split_test, "test", task.split_seed, data.train));
  TACK_TRY(data.validation, part_of_text(task.validation, task.training.validation, "validation",
                                         task.split_seed + 1, data.train));
  result.train_rows = data.train.size();
  result.validation_rows = data.validation.size();
  result.test_rows = data.test.size();
  result.overlap = count_overlap(data.train, data.test);
  return data;
}

std::string describe(const Task& task, const Data& data, const BuildResult& result) {
  std::string line = fmt::format(
      "data: {} documents to learn from ({:.2f} MB), {} for validation ({:.2f} MB), {} for the "
      "test ({:.2f} MB{})",
      data.train.size(), static_cast<double>(bytes_of(data.train)) / 1e6, data.validation.size(),
      static_cast<double>(bytes_of(data.validation)) / 1e6, data.test.size(),
      static_cast<double>(bytes_of(data.test)) / 1e6,
      task.test.empty() ? ", held out by content" : "");
  if (result.overlap > 0)
    line += fmt::format("; {} test documents also stand in the training text", result.overlap);
  return line;
}

// Where the training begins: the base, or a new model at `path`.
Result<std::shared_ptr<const Model>> begin(const Task& task, const Data& data,
                                           const std::filesystem::path& path,
                                           const BuildOptions& options) {
  if (!task.base.empty()) {
    TACK_TRY(const auto base, resolve_model(task.base));
    return Model::open(base);
  }
  TACK_TRY(const NewDecoder made,
           write_new_decoder(task.generate, data.train, task.training.loop.seed, path));
  TACK_TRY(auto model, Model::open(path));
  std::string line = made.merges > 0
                         ? fmt::format("tokenizer: {} tokens, {} merges learned from the text",
                                       made.vocab, made.merges)
                         : fmt::format("tokenizer: {} tokens", made.vocab);
  if (task.generate.tokenizer.empty() && made.vocab < task.generate.vocab)
    line += fmt::format("; it has no pairs for the {} that were asked for", task.generate.vocab);
  say(options, line);
  say(options, fmt::format("model: {}, {} layers of {}, {:.2f} M parameters, from scratch",
                           task.generate.architecture, task.generate.layers, task.generate.d,
                           static_cast<double>(model->parameter_count()) / 1e6));
  return model;
}

// What the training depends on: a checkpoint of anything else is not continued.
Result<std::string> describe_run(const Task& task, const Model& start, const Data& data) {
  std::string begins = to_text(task.generate.model_json(), 1);
  if (!task.base.empty() || !task.generate.tokenizer.empty()) {
    // The tokenizer decides on the pieces, whatever file it came from.
    TACK_TRY(const auto file, MappedFile::open(start.path()));
    begins += "\nstart " + sha256_hex(file.text());
  }
  return fmt::format(
      "task {}\n{}\ntraining text {}\nvalidation text {}\nbatch_tokens {}\n{}{}", task.name, begins,
      data.train.sha256, data.validation.sha256, task.generate.batch_tokens,
      task.training.loop.steps > 0 ? fmt::format("steps {}\n", task.training.loop.steps) : "",
      to_text(task.training.to_json(), 1));
}

Result<Json> lineage(const Task& task, const Model& start, const Data& data,
                     const BuildOptions& options, const BuildResult& result) {
  const auto part = [](const Dataset& documents) {
    return Json{{"path", documents.name},
                {"documents", documents.size()},
                {"bytes", bytes_of(documents)},
                {"sha256", documents.sha256}};
  };
  Json json = {{"base", "scratch"},
               {"train", part(data.train)},
               {"validation", part(data.validation)},
               {"test", part(data.test)},
               {"training",
                {{"steps", result.training->steps},
                 {"epochs", result.training->epochs.size()},
                 {"tokens", result.training->tokens},
                 {"settings", task.to_json()["train"]}}},
               {"command", options.command}};
  json["train"]["licence"] = task.licence;
  if (task.base.empty()) return json;
  TACK_TRY(const auto file, MappedFile::open(start.path()));
  json["base"] = {{"name", start.name()}, {"sha256", sha256_hex(file.text())}};
  if (const Json* before = start.tack_metadata("lineage")) json["base"]["lineage"] = *before;
  return json;
}

Result<TextEvaluation> measure(const std::shared_ptr<const Model>& model, const Dataset& test,
                               const TrainSettings& settings, int threads) {
  Progress progress("evaluating", 0, "tokens");
  return evaluate_texts(model, test,
                        {.threads = threads,
                         .length = std::min(settings.length, model->context_length()),
                         .progress = [&](std::int64_t tokens) { progress.advance(tokens); }});
}

}  // namespace

Result<BuildResult> build_generator(const Task& asked, const BuildOptions& options) {
  Task task = asked;
  const auto start_time = Clock::now();
  const int threads = options.threads > 0 ? options.threads : cpu_info().logical_cores;
  BuildResult result;
  TACK_TRY(const Data data, read_text(task, result));
  say(options, describe(task, data, result));

  const TemporaryFile scratch(options.out, ".start"), candidate(options.out, ".candidate");
  TACK_TRY(const auto start, begin(task, data, scratch.path(), options));
  if (task.training.length == 0)
    task.training.length = std::min<std::int64_t>(start->context_length(), 512);
  result.task = task;
  result.base = task.base.empty() ? "none: from scratch" : start->name();
  TACK_TRY(const std::string description, describe_run(task, *start, data));
  TACK_TRY(TrainedDecoder trained,
           train_decoder(start, data.train, data.validation, task.training,
                         task.generate.batch_tokens, candidate.path(),
                         {.threads = threads,
                          .type = task.type,
                          .checkpoint = options.out.string() + ".checkpoint",
                          .description = description,
                          .label = "training"}));
  result.head = fmt::format(
      "decoder, {} epochs of {} tokens, epoch {} chosen on {} validation "
      "documents",
      trained.training.epochs.size(), trained.tokens, trained.training.best_epoch,
      result.validation_rows);
  say(options, text_training_text("training", trained.training, trained.trained_parameters));
  result.training = std::move(trained.training);
  result.trained_parameters = trained.trained_parameters;

  TACK_TRY(result.texts, measure(trained.model, data.test, task.training, threads));
  if (!task.base.empty()) {
    TACK_TRY(result.baseline_texts, measure(start, data.test, task.training, threads));
    result.baseline_bytes = start->file_bytes();
  }
  if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
  TaskArtifact artifact{.task = task.to_json(),
                        .calibration = Json::object(),
                        .metrics = result.texts->to_json(),
                        .lineage = Json::object(),
                        .name = task.name,
                        .licence = ""};
  if (result.baseline_texts) artifact.metrics["base"] = result.baseline_texts->to_json();
  TACK_TRY(artifact.lineage, lineage(task, *start, data, options, result));
  TACK_RETURN_IF_ERROR(write_task_encoder(*trained.model, artifact, options.out));
  std::error_code ignored;
  result.model_bytes = std::filesystem::file_size(options.out, ignored);
  result.seconds = std::chrono::duration<double>(Clock::now() - start_time).count();
  return result;
}

}  // namespace tack
