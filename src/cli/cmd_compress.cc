// `tack compress`: a task model as small as its task allows, and proof that it still does it.

#include <charconv>
#include <cmath>
#include <filesystem>

#include "base/atomic_file.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "tasks/compress.h"
#include "tasks/compress_report.h"
#include "tasks/predictor.h"

namespace tack {
namespace {

struct Options {
  std::string model, out, task_file, data, test, text, label, oos_label, spans, format = "auto",
                                                                                html, latency;
  std::vector<std::string> set;
  double max_drop = -1, margin = -1;
  CompressOptions search;
  std::uint64_t budget = 0;            // not given
  std::int64_t epochs = 0, seed = -1;  // not given
  double rate = 0;
  bool json = false;
};

// "1ms", "0.8", "250us": microseconds.
Result<double> parse_latency(std::string_view text) {
  std::string_view number = text;
  double scale = 1000;
  if (number.ends_with("us")) scale = 1;
  if (number.ends_with("us") || number.ends_with("ms")) number.remove_suffix(2);
  while (number.ends_with(' ')) number.remove_suffix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (error != std::errc() || end != number.data() + number.size() || !(value > 0) ||
      !std::isfinite(value))
    return fail(ErrorCode::kUsage, "--latency: '{}' is no time: 1ms, 0.8ms, 250us", text);
  return value * scale;
}

// The task as the model knows it, with the rows that the flags name.
Result<Task> task_from_flags(const Options& options, const std::string& path) {
  if (options.data.empty())
    return fail(ErrorCode::kUsage,
                "compress needs labelled rows: --data FILE, or a task file: --task TASK.toml");
  TACK_TRY(const auto model, Model::open(path));
  if (model->labels().empty() && model->tags().empty())
    return fail(
        ErrorCode::kUsage,
        "{} is no task model: a task file of kind embed (--task) says what an encoder is "
        "measured by; without a task tack quantize, tack prune and tack heal make it smaller",
        path);
  Task task;
  task.name = model->name();
  TACK_TRY(task.train.format, parse_row_format(options.format));
  task.train.path = options.data;
  task.test = options.test;
  const auto column = [&](const std::string& given, const char* key) {
    return given.empty() ? task_data(*model, key) : given;
  };
  task.train.text = column(options.text, "text");
  task.train.label = column(options.label, "label");
  task.train.oos_label = column(options.oos_label, "oos_label");
  task.train.spans = column(options.spans, "spans");
  if (task.train.text.empty()) {
    TACK_TRY(task.train.text, guess_column(options.data, task.train.format,
                                           {"text", "sentence", "utterance", "query", "message"}));
  }
  if (!model->tags().empty()) {
    task.kind = TaskKind::kTag;
    if (model->labels().empty()) task.train.label.clear();
  } else if (task.train.label.empty()) {
    TACK_TRY(task.train.label, guess_column(options.data, task.train.format,
                                            {"label", "category", "intent", "class"}));
  }
  TACK_TRY(const auto heads, task_heads(*model));
  if (!model->labels().empty() && heads.front().calibration.multilabel) {
    task.kind = TaskKind::kMultilabel;
    task.train.label_sets = true;
  }
  return task;
}

// What more bytes would buy: the smallest candidate that did better on the validation rows.
std::string better_than_chosen(const CompressResult& result) {
  const Candidate* smallest = nullptr;
  for (const Candidate& one : result.candidates)
    if (one.quality > result.chosen->quality && (!smallest || one.bytes < smallest->bytes))
      smallest = &one;
  if (smallest == nullptr) return "";
  return fmt::format("; better on the validation rows was {}, in {:.2f} MB",
                     smallest->recipe.text(), static_cast<double>(smallest->bytes) / 1e6);
}

Status run(Options& options) {
  TACK_TRY(const auto path, resolve_model(options.model));
  options.search.model = path;
  options.search.out = options.out;
  Task task;
  if (options.task_file.empty()) {
    TACK_TRY(task, task_from_flags(options, path));
    task.training.loop.epochs = 5;
    task.training.loop.rate = 1e-4;
    if (!options.set.empty()) return fail(ErrorCode::kUsage, "--set changes a task file: name it");
  } else {
    for (const std::string* flag : {&options.data, &options.test, &options.text, &options.label,
                                    &options.oos_label, &options.spans})
      if (!flag->empty())
        return fail(ErrorCode::kUsage,
                    "the task file says which rows and columns there are: change it with --set, or "
                    "leave it out (beside --task there is '{}')",
                    *flag);
    TACK_TRY(task, read_task(options.task_file, options.set));
  }
  if (task.kind == TaskKind::kSpan || task.kind == TaskKind::kGenerate)
    return fail(ErrorCode::kUsage,
                "compress takes tasks of kind classify, multilabel, tag and embed, not {}",
                task_kind_name(task.kind));
  if (!task.heads.empty())
    return fail(ErrorCode::kUsage, "compress takes models that answer one question");
  task.training.method = TrainMethod::kFull;
  if (options.epochs > 0) task.training.loop.epochs = options.epochs;
  if (options.rate > 0) task.training.loop.rate = options.rate;
  if (options.seed >= 0) task.training.loop.seed = static_cast<std::uint64_t>(options.seed);
  CompressLimits& limits = options.search.limits;
  if (options.budget > 0) limits.bytes = options.budget;
  if (!options.latency.empty()) {
    TACK_TRY(limits.latency_us, parse_latency(options.latency));
  }
  if (options.max_drop >= 0) limits.max_drop = options.max_drop / 100;
  if (limits.max_drop) task.gate.margin = -*limits.max_drop;
  if (options.margin >= 0) task.gate.margin = -options.margin / 100;
  // Asked for nothing, as small as the gate allows.
  if (!limits.bytes && !limits.latency_us && !limits.max_drop) limits.max_drop = -task.gate.margin;
  options.search.command = fmt::format("tack compress {}", options.model);
  options.search.message = [&](const std::string& line) {
    fmt::print(options.json ? stderr : stdout, "{}\n", line);
    std::fflush(stdout);
  };
  TACK_TRY(const CompressResult result, compress_task(task, options.search));
  if (options.search.dry_run)
    return options.json ? print_line(to_text(compress_json(result), 2))
                        : print_text(plan_text(result));
  if (!options.html.empty())
    TACK_RETURN_IF_ERROR(
        write_file(options.html, compress_html(task.name + ", compressed", result)));
  if (options.json) {
    TACK_RETURN_IF_ERROR(print_line(to_text(compress_json(result), 2)));
  } else {
    fmt::print("\n{}\n{}gate {}\n", frontier_text(result), before_after_text(result),
               result.gate->text);
    if (result.accepted())
      fmt::print(
          "wrote {} ({:.2f} MB, {:.1f} times smaller) in {:.1f} s\n", options.out,
          static_cast<double>(result.chosen->bytes) / 1e6,
          static_cast<double>(result.original.bytes) / static_cast<double>(result.chosen->bytes),
          result.seconds);
  }
  if (!result.accepted())
    return fail(ErrorCode::kRefused,
                "the gate refused {}; nothing was written ({} has the candidates){}",
                result.chosen->recipe.text(), options.out + ".search", better_than_chosen(result));
  return {};
}

}  // namespace

Verb make_compress(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("compress", "Make a task model smaller, within limits and a gate");
  add_model_option(verb, options->model, "The task model, in f16 or f32").required();
  verb.option("--out,-o", options->out, "The file to write").required();
  verb.option("--budget", options->budget, "Most bytes of the result: 8MB, 2.5MB").bytes();
  verb.option("--latency", options->latency, "Most time for one text: 1ms, 250us");
  verb.option("--max-drop", options->max_drop,
              "The smallest model that loses at most so many points of quality")
      .range(0.01, 100.0);
  verb.option("--data", options->data, "Labelled rows: to learn from, to choose by, for the gate");
  verb.option("--test", options->test, "Rows for the gate; default: a part of --data");
  verb.option("--text", options->text, "Column of the text");
  verb.option("--label", options->label, "Column of the label");
  verb.option("--oos-label", options->oos_label, "Label of rows that belong to none");
  verb.option("--spans", options->spans, "Column of the spans");
  verb.option("--format", options->format, "auto, csv, tsv, jsonl or json").show_default();
  verb.option("--task", options->task_file, "A task.toml with data, training and gate");
  verb.option("--set", options->set, "section.key=value in place of what the task file says")
      .one_at_a_time();
  verb.option("--margin", options->margin, "Gate: most points that may be lost; default: 1")
      .range(0.0, 100.0);
  verb.option("--layers", options->search.layers,
              "How many layers to try; default: all, half, a third and one")
      .delimiter(',');
  verb.option("--ffn", options->search.ffn,
              "Sizes of the feed-forward layers to try; default: as it is, and half")
      .delimiter(',');
  verb.option("--types", options->search.types, "Types of matrices to try, from large to small")
      .delimiter(',')
      .show_default();
  verb.flag("--all", options->search.all, "Measure every candidate, not only those that may win");
  verb.flag("--dry-run", options->search.dry_run, "Only predict the sizes");
  verb.flag("--requantize", options->search.requantize, "Take a model that is in blocks already");
  verb.flag("--keep", options->search.keep, "Leave the candidates in OUT.search");
  verb.option("--epochs", options->epochs, "Of a student; default: 5, or the task's")
      .range(1, 10000);
  verb.option("--rate", options->rate, "Learning rate; default: 1e-4, or the task's")
      .range(1e-8, 1.0);
  verb.option("--seed", options->seed, "Of the training").not_negative();
  verb.option("--html", options->html, "Write a report to this file");
  add_threads_option(verb, options->search.threads);
  verb.flag("--json", options->json, "Print the result as JSON");
  verb.footer("Example: tack compress tickets.gguf --data tickets.csv --budget 8MB -o small.gguf");
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
