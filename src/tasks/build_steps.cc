#include "tasks/build_steps.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <system_error>

#include <fmt/ranges.h>

#include "base/hash.h"
#include "base/interrupt.h"
#include "base/mapped_file.h"
#include "base/progress.h"
#include "eval/calibration.h"
#include "tasks/features.h"
#include "tasks/multilabel.h"
#include "tasks/training_report.h"

namespace tack {
namespace {

using Clock = std::chrono::steady_clock;

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
Result<std::vector<bool>> baseline_answers(const std::filesystem::path& path,
                                           const std::string& head, const Dataset& test,
                                           int threads) {
  TACK_TRY(auto baseline, TaskPredictor::open_heads(path, {.threads = threads}));
  if (baseline->heads().size() > 1) TACK_RETURN_IF_ERROR(baseline->choose(head));
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

}  // namespace

void say(const BuildOptions& options, const std::string& line) {
  if (options.message) options.message(line);
}

Result<Data> read_data(const Task& task, BuildResult& result) {
  TACK_TRY(Dataset all, read_dataset(task.train));
  if (task.kind != TaskKind::kTag || !task.train.label.empty())
    if (auto status = check_trainable(all); !status) return std::unexpected(status.error());
  Data data;
  if (task.test.empty()) {
    const Split split = split_by_content(all, task.split_test, task.split_seed);
    data = {all.subset(split.first), {}, all.subset(split.second)};
    const auto rows = rows_of_labels(data.train);
    if (const auto lost = std::ranges::find(rows, 0U); lost != rows.end())
      return fail(
          "{}: no row of label '{}' is left to learn from once {} % are held out: its texts "
          "are copies of each other; add others",
          all.name, all.label_names[static_cast<std::size_t>(lost - rows.begin())],
          100 * task.split_test);
  } else {
    TACK_TRY(Dataset test, read_dataset(task.test_source(), all.label_names));
    data = {std::move(all), {}, std::move(test)};
  }
  if (task.training.method != TrainMethod::kHead) {
    if (!task.validation.empty()) {
      TACK_TRY(data.validation, read_dataset(task.validation_source(), data.train.label_names));
    } else {
      const Split split = split_by_content(data.train, task.training.validation, task.split_seed);
      data.validation = data.train.subset(split.second);
      data.train = data.train.subset(split.first);
    }
    if (data.validation.in_scope() == 0)
      return fail("{}: no validation row has a label", data.validation.name);
  }
  if (data.test.in_scope() == 0) return fail("{}: no test row has a label", data.test.name);
  result.labels = data.train.label_names;
  result.train_rows = data.train.in_scope();
  result.train_out_of_scope = data.train.size() - result.train_rows;
  result.validation_rows = data.validation.in_scope();
  result.test_rows = data.test.in_scope();
  result.test_out_of_scope = data.test.size() - result.test_rows;
  result.overlap = count_overlap(data.train, data.test);
  result.detectable_loss = detectable_loss(static_cast<std::int64_t>(result.test_rows));
  return data;
}

std::string describe_data(const Task& task, const BuildResult& result) {
  std::string line = fmt::format(
      "data: {} training rows{}, {} test rows{}, {} labels", result.train_rows,
      result.validation_rows > 0 ? fmt::format(", {} validation rows", result.validation_rows) : "",
      result.test_rows, task.test.empty() ? " held out by content" : "", result.labels.size());
  if (result.test_out_of_scope > 0)
    line += fmt::format("; {} test rows out of scope", result.test_out_of_scope);
  if (result.overlap > 0)
    line += fmt::format("; {} test texts also stand in the training rows", result.overlap);
  return line;
}

Json calibrate(const Task& task, std::span<const float> logits,
               std::span<const std::int32_t> labels, std::int32_t classes, BuildResult& result) {
  result.temperature = fit_temperature(logits, labels, classes);
  std::vector<float> scores;
  const auto width = static_cast<std::size_t>(classes);
  for (std::size_t r = 0; r < labels.size(); ++r)
    scores.push_back(in_scope_score(logits.subspan(r * width, width)));
  result.threshold = out_of_scope_threshold(scores, task.false_alarms);
  return {{"temperature", result.temperature},
          {"threshold", result.threshold},
          {"false_alarms", task.false_alarms}};
}

Json calibrate_sets(std::span<const float> logits, std::span<const float> targets,
                    BuildResult& result) {
  const SigmoidCalibration calibration = calibrate_sigmoid(logits, targets);
  result.temperature = calibration.temperature;
  result.threshold = calibration.threshold;
  return calibration.to_json();
}

std::string calibration_text(const BuildResult& result) {
  return result.task.kind == TaskKind::kMultilabel
             ? fmt::format("temperature {:.3f}, a label counts from {:.1f} % on",
                           result.temperature, 100 * result.threshold)
             : fmt::format("temperature {:.3f}, out of scope below a score of {:.2f}",
                           result.temperature, result.threshold);
}

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

std::string describe_training(const Task& task, const TrainSettings& settings, const Model& base,
                              const DataSummary& data, const std::string& teacher) {
  return fmt::format("task {}\nbase {} of {} bytes\ntraining rows {}\nvalidation rows {}\n{}{}",
                     task.name, base.name(), base.file_bytes(), data.train.sha256,
                     data.validation.sha256, teacher, to_text(settings.to_json(), 1));
}

std::optional<InnerLessons> inner_lessons(const Task& task, std::shared_ptr<const Model> teacher,
                                          const Student& student, const BuildOptions& options) {
  const InnerSettings& settings = task.teacher.inner;
  if (!task.teacher.wanted || !settings.any()) return std::nullopt;
  std::string learns;
  if (settings.hidden > 0)
    learns =
        fmt::format("hidden states of layers {} (weight {:g})",
                    fmt::join(settings.layers.empty() ? student.layers : settings.layers, ", "),
                    settings.hidden);
  if (settings.relations > 0)
    learns += fmt::format("{}relations in {} heads (weight {:g})", learns.empty() ? "" : ", ",
                          settings.relation_heads, settings.relations);
  say(options, fmt::format("teacher: {}", learns));
  return InnerLessons{std::move(teacher), settings, student.layers, student.dims};
}

Status ask_gate(
    const GateRule& rule, const std::vector<bool>& right,
    const std::function<Result<std::vector<bool>>(const std::filesystem::path&)>& baseline,
    BuildResult& result) {
  if (rule.floor)
    result.gate = gate_against_floor(right, {.floor = *rule.floor, .confidence = rule.confidence});
  if (rule.baseline) {
    TACK_TRY(const auto path, resolve_model(*rule.baseline));
    TACK_TRY(const std::vector<bool> theirs, baseline(path));
    result.gate = gate_against_baseline(right, theirs,
                                        {.margin = rule.margin, .confidence = rule.confidence});
  }
  return {};
}

Status ask_gate(const Task& task, const Dataset& test, int threads, BuildResult& result) {
  return ask_gate(
      task.gate, result.label_sets ? result.label_sets->right() : result.evaluation.right(),
      [&](const std::filesystem::path& path) {
        return baseline_answers(path, task.name, test, threads);
      },
      result);
}

Dataset with_labels_of(Dataset rows, const std::vector<std::string>& labels) {
  const auto move = [&](std::int32_t& label) {
    if (label >= 0)
      label = static_cast<std::int32_t>(
          std::ranges::find(labels, rows.label_names[static_cast<std::size_t>(label)]) -
          labels.begin());
  };
  for (std::int32_t& label : rows.labels) move(label);
  for (auto& set : rows.label_sets) {
    for (std::int32_t& label : set) move(label);
    std::ranges::sort(set);
  }
  rows.label_names = labels;
  return rows;
}

Result<Evaluation> evaluate_teacher(const std::filesystem::path& path, const std::string& head,
                                    const Dataset& test, int threads) {
  TACK_TRY(auto teacher, TaskPredictor::open(path, {.threads = threads}, head));
  return evaluate(*teacher, with_labels_of(test, teacher->labels()));
}

Status write_adapters(const Task& task, const Model& base, const Fitted& fitted,
                      const TaskArtifact& artifact, const BuildOptions& options) {
  if (fitted.adapters.empty() || task.student.any() || task.teacher.wanted) return {};
  const Adapter adapter{.rank = task.training.rank,
                        .pairs = fitted.adapters,
                        .labels = artifact.labels,
                        .head_weight = fitted.head.weight,
                        .head_bias = fitted.head.bias,
                        .task = artifact.task,
                        .calibration = artifact.calibration,
                        .lineage = artifact.lineage,
                        .heads = artifact.heads};
  std::filesystem::path file = options.out, directory = options.out;
  file.replace_extension(".lora.gguf");
  directory.replace_extension(".lora");
  TACK_RETURN_IF_ERROR(write_adapter(base, adapter, file));
  say(options, fmt::format("adapter: {}, and {} for PEFT", file.string(), directory.string()));
  return write_peft_adapter(base, adapter, directory);
}

void forget_checkpoint(const std::filesystem::path& out) {
  std::error_code ignored;
  std::filesystem::remove(out.string() + ".checkpoint", ignored);
}

Result<bool> teacher_is_there(const std::filesystem::path& path, const std::string& description,
                              const BuildOptions& options) {
  if (std::error_code ignored; !std::filesystem::exists(path, ignored)) return false;
  TACK_TRY(const auto made, Model::open(path));
  const Json* lineage = made->tack_metadata("lineage");
  if (lineage == nullptr || !lineage->is_object() ||
      lineage->value("training_of", "") != description)
    return fail(ErrorCode::kUsage,
                "{}: this teacher was trained otherwise than the task says; name it as [teacher] "
                "model to use it, or remove it to train it again",
                path.string());
  say(options, fmt::format("teacher: {} is there already", path.string()));
  return true;
}

namespace {

std::string depends_on(const StudentShape& student) {
  return fmt::format("student {}\n", to_text(student.to_json()));
}

// The teacher as a task of its own.
Task teacher_task(const Task& task) {
  Task teaching = task;
  teaching.name = task.name + " teacher";
  teaching.teacher = {};
  teaching.training = task.teacher.training;
  teaching.student = {};
  teaching.type = "f16";
  teaching.gate = {};
  for (HeadTask& head : teaching.heads) head.gate = {};
  if (!task.teacher.base.empty()) teaching.base = task.teacher.base;
  return teaching;
}

Result<std::filesystem::path> prepare_teacher(const Task& task,
                                              const std::shared_ptr<const Model>& task_base,
                                              const KindOfBuild& kind,
                                              const BuildOptions& options) {
  if (!task.teacher.models.empty()) return resolve_model(task.teacher.models.front());
  const Task teaching = teacher_task(task);
  std::shared_ptr<const Model> base = task_base;
  if (!task.teacher.base.empty()) {
    TACK_TRY(const auto path, resolve_model(teaching.base));
    TACK_TRY(base, Model::open(path));
  }
  BuildOptions building = options;
  building.out.replace_extension(".teacher.gguf");
  TACK_TRY(const bool there,
           teacher_is_there(building.out,
                            kind.describe(teaching, *base, depends_on(teaching.student)), options));
  if (there) return building.out;
  say(options, "teacher:");
  if (auto built = kind.build(teaching, building); !built) return std::unexpected(built.error());
  forget_checkpoint(building.out);
  return building.out;
}

}  // namespace

Result<Start> start_training(const Task& task, const std::shared_ptr<const Model>& base,
                             std::span<const std::string> texts, const std::filesystem::path& path,
                             const KindOfBuild& kind, const BuildOptions& options, int threads,
                             BuildResult& result) {
  Start start;
  std::string depends = depends_on(task.student);
  if (task.teacher.wanted) {
    TACK_TRY(result.teacher, prepare_teacher(task, base, kind, options));
    TACK_TRY(start.teacher, Model::open(result.teacher));
    TACK_TRY(const auto file, MappedFile::open(result.teacher));
    depends += fmt::format("teacher {}\n{}\n", sha256_hex(file.text()),
                           to_text(task.teacher.to_json(), 1));
  }
  start.description = result.training_of = kind.describe(task, *base, depends);
  TACK_TRY(start.student, make_student(start.teacher == nullptr ? base : start.teacher,
                                       task.student, texts, path, threads));
  if (!start.student.description.empty()) say(options, start.student.description);
  return start;
}

void report_training(const std::string& label, TrainingResult training, std::int64_t parameters,
                     std::int64_t truncated, const Model& base, const BuildOptions& options,
                     BuildResult& result) {
  say(options, training_text(label, training, parameters));
  if (truncated > 0)
    say(options, fmt::format("training: {} texts were longer than {} tokens and were cut",
                             truncated, base.context_length()));
  result.training = std::move(training);
  result.trained_parameters = parameters;
}

Status write_accepted(const Task& task, const Model& base, const DataSummary& data,
                      const Model& encoder, TaskArtifact& artifact, Json metrics,
                      const std::filesystem::path& candidate, const BuildOptions& options,
                      BuildResult& result, decltype(&write_task_model) write) {
  if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
  std::error_code ignored;
  result.model_bytes = std::filesystem::file_size(candidate, ignored);
  if (!result.accepted()) return {};
  artifact.metrics = std::move(metrics);
  if (Json compared = comparison_json(result); !compared.empty())
    artifact.metrics["compared"] = std::move(compared);
  TACK_TRY(artifact.lineage, make_lineage(task, base, data, options, result));
  return write(encoder, artifact, options.out);
}

Result<Json> make_lineage(const Task& task, const Model& base, const DataSummary& data,
                          const BuildOptions& options, const BuildResult& result) {
  TACK_TRY(const auto file, MappedFile::open(base.path()));
  Json json = {
      {"base", {{"name", base.name()}, {"sha256", sha256_hex(file.text())}}},
      {"train",
       {{"path", task.train.path},
        {"rows", data.train.rows},
        {"sha256", data.train.sha256},
        {"licence", task.licence}}},
      {"test",
       {{"path", task.test.empty() ? task.train.path : task.test},
        {"rows", data.test.rows},
        {"sha256", data.test.sha256}}},
      {"head", result.head},
      {"command", options.command},
  };
  if (const Json* before = base.tack_metadata("lineage")) json["base"]["lineage"] = *before;
  if (data.validation.rows > 0)
    json["validation"] = {{"path", task.validation.empty() ? task.train.path : task.validation},
                          {"rows", data.validation.rows},
                          {"sha256", data.validation.sha256}};
  if (!result.training_of.empty()) json["training_of"] = result.training_of;
  if (result.training)
    json["training"] = {{"steps", result.training->steps},
                        {"epochs", result.training->epochs.size()},
                        {"settings", task.training.to_json()}};
  if (task.student.any()) json["student"] = task.student.to_json();
  if (!result.teacher.empty()) {
    const auto described = [](const std::filesystem::path& path) -> Result<Json> {
      TACK_TRY(const auto teacher, MappedFile::open(path));
      return Json{{"path", path.string()}, {"sha256", sha256_hex(teacher.text())}};
    };
    TACK_TRY(json["teacher"], described(result.teacher));
    json["teacher"]["settings"] = task.teacher.to_json();
    for (const auto& path : result.other_teachers) {
      TACK_TRY(auto other, described(path));
      json["teacher"]["others"].push_back(std::move(other));
    }
  }
  if (result.gate) json["gate"] = result.gate->text;
  return json;
}

}  // namespace tack
