#include "tasks/build_multitask.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#include <fmt/ranges.h>

#include "base/cpu.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "tasks/artifact.h"
#include "tasks/build_steps.h"
#include "tasks/features.h"
#include "tasks/multitask.h"
#include "tasks/teacher.h"

namespace tack {
namespace {

using Clock = std::chrono::steady_clock;

// One head on its way: a task of its own with its rows and what is found out about it.
struct Part {
  Task task;
  double weight = 1;
  Data data;
  BuildResult result;
  Fitted fitted = {};
};

// The messages of a head's own steps, with its name before them.
BuildOptions named(const BuildOptions& options, const std::string& name) {
  BuildOptions out = options;
  if (options.message)
    out.message = [&options, name](const std::string& line) {
      options.message(fmt::format("{}: {}", name, line));
    };
  return out;
}

// Heads share what they learn from, so a text that tests or validates one must not train another:
// its rows are left out of all training. Errors: a label that then has no row.
Status keep_apart(std::vector<Part>& parts, const BuildOptions& options) {
  std::vector<const Dataset*> apart;
  for (const Part& part : parts) {
    apart.push_back(&part.data.test);
    apart.push_back(&part.data.validation);
  }
  for (Part& part : parts) {
    const auto rows = rows_apart_from(part.data.train, apart);
    const std::size_t before = part.data.train.size();
    if (rows.size() == before) continue;
    part.data.train = part.data.train.subset(rows);
    const Dataset& train = part.data.train;
    for (std::size_t k = 0; k < train.label_names.size(); ++k)
      if (std::ranges::find(train.labels, static_cast<std::int32_t>(k)) == train.labels.end())
        return fail(
            "{}: no row of label '{}' is left to learn from: its texts are test or "
            "validation rows of this head or another",
            train.name, train.label_names[k]);
    part.result.train_rows = train.in_scope();
    part.result.train_out_of_scope = train.size() - part.result.train_rows;
    part.result.overlap = count_overlap(train, part.data.test);
    say(options, fmt::format("{}: {} training rows left out: a head is tested or validated on "
                             "their texts",
                             part.task.name, before - rows.size()));
  }
  return {};
}

Result<std::vector<Part>> read_parts(const Task& task, const BuildOptions& options) {
  std::vector<Part> parts;
  for (const HeadTask& head : task.heads) {
    Part& part = parts.emplace_back();
    part.task = task.of_head(head);
    part.weight = head.weight;
    part.result.task = part.task;
    auto data = read_data(part.task, part.result);
    if (!data) return std::unexpected(std::move(data.error()).in("head '" + head.name + "'"));
    part.data = *std::move(data);
  }
  if (task.training.method != TrainMethod::kHead) TACK_RETURN_IF_ERROR(keep_apart(parts, options));
  for (const Part& part : parts)
    say(options,
        fmt::format("{}: {}; the smallest loss its test can tell is {:.2f} points", part.task.name,
                    describe_data(part.task, part.result), 100 * part.result.detectable_loss));
  return parts;
}

// What the teacher says to all training texts, and to the unlabelled ones.
Result<Teaching> ask_teacher(const Task& task, const std::vector<Part>& parts,
                             const std::shared_ptr<const Model>& teacher,
                             const HeadExamples& examples, int threads) {
  Teaching teaching;
  teaching.temperature = task.teacher.temperature;
  teaching.labels = task.teacher.labels;
  if (!task.teacher.unlabelled.empty()) {
    TACK_TRY(teaching.texts, read_unlabelled(task.teacher.unlabelled, task.train.text));
  }
  std::vector<std::string> names, texts = examples.texts;
  std::vector<std::vector<std::string>> labels;
  for (const Part& part : parts) {
    names.push_back(part.task.name);
    labels.push_back(part.result.labels);
  }
  texts.insert(texts.end(), teaching.texts.begin(), teaching.texts.end());
  TACK_TRY(teaching.logits, ask_teacher_heads(teacher, names, labels, texts, threads));
  return teaching;
}

// Trains encoder and heads together; the heads are left in the parts. Returns what belongs to all.
Result<BuildResult> train_parts(const Task& task, const std::shared_ptr<const Model>& base,
                                std::vector<Part>& parts, const std::filesystem::path& path,
                                const BuildOptions& options, int threads) {
  BuildResult result;
  std::vector<const Dataset*> rows;
  std::vector<HeadRows> heads;
  for (const Part& part : parts) {
    rows.push_back(&part.data.train);
    heads.push_back({&part.data.train, &part.data.validation, part.weight});
  }
  const HeadExamples examples = merge_heads(rows);
  say(options, fmt::format("training: {} texts with {} labels", examples.texts.size(),
                           examples.labels.size() - static_cast<std::size_t>(std::ranges::count(
                                                        examples.labels, HeadExamples::kNoLabel))));
  const TemporaryFile student(options.out, ".student");
  const auto describe = [&](const Task& of, const Model& from, std::string depends) {
    for (const Part& part : parts)
      depends +=
          fmt::format("head of weight {}\n{}\n", part.weight,
                      describe_training(part.task, of.training, from, summary_of(part.data), ""));
    return depends;
  };
  TACK_TRY(const Start begin,
           start_training(task, base, examples.texts, student.path(), {build_multitask, describe},
                          options, threads, result));
  std::optional<Teaching> teaching;
  if (begin.teacher != nullptr) {
    TACK_TRY(teaching, ask_teacher(task, parts, begin.teacher, examples, threads));
  }
  TACK_TRY(TrainedHeads trained,
           train_heads(begin.student.model, heads, examples, task.training, path,
                       {.threads = threads,
                        .type = task.type,
                        .teaching = teaching ? &*teaching : nullptr,
                        .checkpoint = options.out.string() + ".checkpoint",
                        .description = begin.description,
                        .label = begin.label()}));
  report_training(begin.label(), std::move(trained.training), trained.trained_parameters,
                  trained.truncated, *base, options, result);
  for (std::size_t h = 0; h < parts.size(); ++h) {
    Part& part = parts[h];
    part.result.head =
        fmt::format("one of {} fine-tuned together, {} epochs, epoch {} chosen", parts.size(),
                    result.training->epochs.size(), result.training->best_epoch);
    Json calibration =
        calibrate(part.task, trained.validation_logits[h], trained.validation_labels[h],
                  trained.heads[h].classes, part.result);
    part.fitted = {trained.encoder, std::move(trained.heads[h]), std::move(calibration),
                   trained.adapters};
  }
  return result;
}

// The heads as one: rows and labels one after another.
struct Joined {
  Fitted fitted;
  std::vector<std::string> labels;
  Json heads;
};
Joined join(std::vector<Part>& parts) {
  Joined out;
  std::vector<LinearHead> heads;
  for (Part& part : parts) {
    Json head = {{"name", part.task.name}, {"labels", part.result.labels.size()}};
    head.update(part.fitted.calibration);
    out.heads["heads"].push_back(std::move(head));
    out.labels.insert(out.labels.end(), part.result.labels.begin(), part.result.labels.end());
    heads.push_back(std::move(part.fitted.head));
  }
  out.fitted = std::move(parts.front().fitted);
  out.fitted.head = join_heads(heads);
  return out;
}

Status measure(const std::filesystem::path& path, Part& part, int threads) {
  TACK_TRY(auto predictor, TaskPredictor::open(path, {.threads = threads}, part.task.name));
  Progress progress(part.task.name, static_cast<std::int64_t>(part.data.test.size()), "rows");
  TACK_TRY(part.result.evaluation,
           evaluate(*predictor, part.data.test,
                    {.progress = [&](std::int64_t rows) { progress.advance(rows); }}));
  return {};
}

Json metrics_of(const std::vector<Part>& parts) {
  Json json;
  for (const Part& part : parts)
    json["heads"][part.task.name] = part.result.evaluation.to_json(part.result.labels);
  return json;
}

Result<Json> lineage_of(const Model& base, const std::vector<Part>& parts,
                        const BuildOptions& options, const BuildResult& result) {
  Json json;
  for (const Part& part : parts) {
    BuildResult about = part.result;
    about.training = result.training;
    about.teacher = result.teacher;
    about.training_of = result.training_of;
    TACK_TRY(Json one, make_lineage(part.task, base, summary_of(part.data), options, about));
    if (json.is_null())
      for (const char* key : {"base", "training_of", "training", "teacher", "command"})
        if (one.contains(key)) json[key] = one[key];
    Json& head = json["heads"][part.task.name];
    for (const char* key : {"train", "validation", "test", "head", "gate"})
      if (one.contains(key)) head[key] = std::move(one[key]);
  }
  return json;
}

}  // namespace

Result<BuildResult> build_multitask(const Task& task, const BuildOptions& options) {
  const auto start = Clock::now();
  const int threads = options.threads > 0 ? options.threads : cpu_info().logical_cores;
  TACK_TRY(std::vector<Part> parts, read_parts(task, options));
  TACK_TRY(const auto base_path, resolve_model(task.base));
  TACK_TRY(const auto base, Model::open(base_path));
  const TemporaryFile encoder(options.out, ".encoder");
  BuildResult result;
  if (task.training.method == TrainMethod::kHead) {
    for (Part& part : parts) {
      TACK_TRY(part.fitted, fit_head(part.task, base, part.data, named(options, part.task.name),
                                     threads, part.result));
    }
  } else {
    TACK_TRY(result, train_parts(task, base, parts, encoder.path(), options, threads));
  }
  result.task = task;
  result.base = base->name();
  for (const Part& part : parts)
    say(options, fmt::format("{}: {}; temperature {:.3f}, out of scope below a score of {:.2f}",
                             part.task.name, part.result.head, part.result.temperature,
                             part.result.threshold));

  const Joined joined = join(parts);
  TaskArtifact artifact{.head = &joined.fitted.head,
                        .labels = joined.labels,
                        .task = task.to_json(),
                        .calibration = Json::object(),
                        .metrics = Json::object(),
                        .lineage = Json::object(),
                        .name = task.name,
                        .licence = "",
                        .heads = joined.heads};
  const TemporaryFile candidate(options.out, ".candidate");
  TACK_RETURN_IF_ERROR(write_task_model(*joined.fitted.encoder, artifact, candidate.path()));
  for (Part& part : parts) {
    TACK_RETURN_IF_ERROR(measure(candidate.path(), part, threads));
    TACK_RETURN_IF_ERROR(ask_gate(part.task, part.data.test, threads, part.result));
    if (!result.teacher.empty()) {
      TACK_TRY(part.result.teacher_evaluation,
               evaluate_teacher(result.teacher, part.task.name, part.data.test, threads));
    }
  }
  if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
  std::error_code ignored;
  result.model_bytes = std::filesystem::file_size(candidate.path(), ignored);
  if (!result.teacher.empty())
    result.teacher_bytes = std::filesystem::file_size(result.teacher, ignored);
  if (std::ranges::all_of(parts, [](const Part& part) { return part.result.accepted(); })) {
    artifact.metrics = metrics_of(parts);
    TACK_TRY(artifact.lineage, lineage_of(*base, parts, options, result));
    TACK_RETURN_IF_ERROR(write_task_model(*joined.fitted.encoder, artifact, options.out));
    TACK_RETURN_IF_ERROR(write_adapters(task, *base, joined.fitted, artifact, options));
    result.model_bytes = std::filesystem::file_size(options.out, ignored);
  }
  for (Part& part : parts) result.heads.push_back(std::move(part.result));
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return result;
}

}  // namespace tack
