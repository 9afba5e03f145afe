#include "tasks/build_steps.h"

#include <algorithm>
#include <system_error>

#include <fmt/ranges.h>

#include "base/hash.h"
#include "base/mapped_file.h"
#include "eval/calibration.h"
#include "models/layers.h"
#include "tasks/multilabel.h"

namespace tack {

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

std::string describe_training(const Task& task, const TrainSettings& settings, const Model& base,
                              const DataSummary& data, const std::string& teacher) {
  return fmt::format("task {}\nbase {} of {} bytes\ntraining rows {}\nvalidation rows {}\n{}{}",
                     task.name, base.name(), base.file_bytes(), data.train.sha256,
                     data.validation.sha256, teacher, to_text(settings.to_json(), 1));
}

Result<std::shared_ptr<const Model>> keep_layers(const Task& task,
                                                 std::shared_ptr<const Model> base,
                                                 const std::filesystem::path& path,
                                                 const BuildOptions& options) {
  if (task.layers.empty() && task.layer_count == 0) return base;
  const std::int64_t layers = layer_count(*base);
  if (task.layer_count > layers)
    return fail(ErrorCode::kUsage, "[student] layers is {}, but {} has {}", task.layer_count,
                base->name(), layers);
  const auto keep = task.layers.empty() ? spread_layers(layers, task.layer_count) : task.layers;
  TACK_RETURN_IF_ERROR(write_layers(*base, keep, path));
  say(options, fmt::format("student: layers {} of {}", fmt::join(keep, ", "), layers));
  return Model::open(path);
}

Result<std::filesystem::path> built_teacher(
    const Task& task, const BuildOptions& options,
    const std::function<Status(const Task&, const BuildOptions&)>& build) {
  if (!task.teacher.model.empty()) return resolve_model(task.teacher.model);
  Task teaching = task;
  teaching.name = task.name + " teacher";
  teaching.teacher = {};
  teaching.training = task.teacher.training;
  teaching.layers.clear();
  teaching.layer_count = 0;
  teaching.type = "f16";
  teaching.gate = {};
  if (!task.teacher.base.empty()) teaching.base = task.teacher.base;
  BuildOptions building = options;
  building.out.replace_extension(".teacher.gguf");
  if (std::error_code ignored; std::filesystem::exists(building.out, ignored)) {
    TACK_TRY(const auto made, Model::open(building.out));
    if (const Json* task_of = made->tack_metadata("task");
        task_of != nullptr && *task_of == teaching.to_json()) {
      say(options, fmt::format("teacher: {} is there already", building.out.string()));
      return building.out;
    }
    return fail(ErrorCode::kUsage,
                "{}: this teacher was trained otherwise than the task says; name it as [teacher] "
                "model to use it, or remove it to train it again",
                building.out.string());
  }
  say(options, "teacher:");
  TACK_RETURN_IF_ERROR(build(teaching, building));
  return building.out;
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
  if (result.training)
    json["training"] = {{"steps", result.training->steps},
                        {"epochs", result.training->epochs.size()},
                        {"settings", task.training.to_json()}};
  if (!result.teacher.empty()) {
    TACK_TRY(const auto teacher, MappedFile::open(result.teacher));
    json["teacher"] = {{"path", result.teacher.string()}, {"sha256", sha256_hex(teacher.text())}};
  }
  if (result.gate) json["gate"] = result.gate->text;
  return json;
}

}  // namespace tack
