#include "tasks/build_steps.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "base/hash.h"
#include "base/mapped_file.h"
#include "eval/calibration.h"

namespace tack {

void say(const BuildOptions& options, const std::string& line) {
  if (options.message) options.message(line);
}

Result<Data> read_data(const Task& task, BuildResult& result) {
  TACK_TRY(Dataset all, read_dataset(task.train));
  if (task.kind == TaskKind::kClassify || !task.train.label.empty())
    if (auto status = check_trainable(all); !status) return std::unexpected(status.error());
  Data data;
  if (task.test.empty()) {
    const Split split = split_by_content(all, task.split_test, task.split_seed);
    data = {all.subset(split.first), {}, all.subset(split.second)};
    std::vector<bool> seen(all.label_names.size());
    for (std::int32_t label : data.train.labels)
      if (label >= 0 && !seen.empty()) seen[static_cast<std::size_t>(label)] = true;
    if (const auto lost = std::ranges::find(seen, false); lost != seen.end())
      return fail(
          "{}: no row of label '{}' is left to learn from once {} % are held out: its texts "
          "are copies of each other; add others",
          all.name, all.label_names[static_cast<std::size_t>(lost - seen.begin())],
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

std::string describe_training(const Task& task, const TrainSettings& settings, const Model& base,
                              const Data& data, const std::string& teacher) {
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

Result<Json> make_lineage(const Task& task, const Model& base, const Data& data,
                          const BuildOptions& options, const BuildResult& result) {
  TACK_TRY(const auto file, MappedFile::open(base.path()));
  Json json = {
      {"base", {{"name", base.name()}, {"sha256", sha256_hex(file.text())}}},
      {"train",
       {{"path", task.train.path},
        {"rows", data.train.size()},
        {"sha256", data.train.sha256},
        {"licence", task.licence}}},
      {"test",
       {{"path", task.test.empty() ? task.train.path : task.test},
        {"rows", data.test.size()},
        {"sha256", data.test.sha256}}},
      {"head", result.head},
      {"command", options.command},
  };
  if (const Json* before = base.tack_metadata("lineage")) json["base"]["lineage"] = *before;
  if (data.validation.size() > 0)
    json["validation"] = {{"path", task.validation.empty() ? task.train.path : task.validation},
                          {"rows", data.validation.size()},
                          {"sha256", data.validation.sha256}};
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
