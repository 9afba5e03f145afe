// `tack build`: labelled rows in, a task model that has passed its gate out.

#include <filesystem>

#include "base/atomic_file.h"
#include "base/log.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "tasks/build.h"
#include "tasks/build_steps.h"
#include "tasks/report.h"
#include "tasks/training_report.h"

namespace tack {
namespace {

struct Options {
  std::string task_file, data, test, text, label, oos_label, format = "auto", base, out, html,
                                                             baseline, name;
  double floor = -1, margin = -0.01, false_alarms = 0.05;
  std::vector<std::string> set;
  int threads = 0;
  bool json = false;
};

// The task of the command line alone.
Result<Task> task_from_flags(const Options& options) {
  if (options.data.empty())
    return fail(ErrorCode::kUsage, "build needs a task.toml, or --data with labelled rows");
  Task task;
  TACK_TRY(task.train.format, parse_row_format(options.format));
  task.train.path = options.data;
  task.train.text = options.text;
  task.train.label = options.label;
  task.train.oos_label = options.oos_label;
  if (task.train.text.empty()) {
    TACK_TRY(task.train.text, guess_column(options.data, task.train.format,
                                           {"text", "sentence", "utterance", "query", "message"}));
  }
  if (task.train.label.empty()) {
    TACK_TRY(task.train.label, guess_column(options.data, task.train.format,
                                            {"label", "category", "intent", "class"}));
  }
  if (task.train.text.empty() || task.train.label.empty())
    return fail(ErrorCode::kUsage, "{}: say which column is which with --text and --label",
                options.data);
  task.test = options.test;
  task.base = options.base;
  task.false_alarms = options.false_alarms;
  task.gate.margin = options.margin;
  if (options.floor >= 0) task.gate.floor = options.floor;
  if (!options.baseline.empty()) task.gate.baseline = options.baseline;
  return task;
}

std::vector<Fact> facts(const BuildResult& result) {
  std::vector<Fact> out = {
      {"base", result.base},
      {result.texts ? "training documents" : "training rows", fmt::format("{}", result.train_rows)},
      {"head", result.head},
      {"calibration",
       result.labels.empty() ? "none: texts have no label" : calibration_text(result)},
  };
  if (result.detectable_loss > 0)
    out.push_back({"smallest loss the test can tell",
                   fmt::format("{:.2f} points", 100 * result.detectable_loss)});
  if (result.gate) out.push_back({"gate", result.gate->text});
  return out;
}

Json training_json(const TrainingResult& training) {
  Json epochs = Json::array();
  for (const EpochRecord& e : training.epochs)
    epochs.push_back({{"epoch", e.epoch}, {"loss", e.loss}, {"validation", e.validation}});
  return {{"steps", training.steps},
          {"tokens", training.tokens},
          {"seconds", training.seconds},
          {"step_seconds", training.step_seconds},
          {"best_epoch", training.best_epoch},
          {"best_validation", training.best_validation},
          {"memory_bytes", training.memory_bytes},
          {"epochs", epochs}};
}

const TextEvaluation* base_of_texts(const BuildResult& result) {
  return result.baseline_texts ? &*result.baseline_texts : nullptr;
}

// What was measured, of whatever kind the task is.
std::string measured_text(const BuildResult& result) {
  if (result.tagged) return tag_evaluation_text(*result.tagged);
  if (result.extracted) return extract_evaluation_text(*result.extracted);
  if (result.label_sets) return label_set_evaluation_text(*result.label_sets, result.labels);
  if (result.pairs) return pair_evaluation_text(*result.pairs);
  if (result.texts) return text_evaluation_text(*result.texts, base_of_texts(result));
  return evaluation_text(result.evaluation, result.labels);
}

std::string measured_html(const BuildResult& result) {
  const std::string& title = result.task.name;
  const std::string training = training_html(result);
  if (result.tagged) return tag_evaluation_html(title, facts(result), *result.tagged, training);
  if (result.extracted)
    return extract_evaluation_html(title, facts(result), *result.extracted, training);
  if (result.label_sets)
    return label_set_evaluation_html(title, facts(result), *result.label_sets, result.labels,
                                     training);
  if (result.pairs) return pair_evaluation_html(title, facts(result), *result.pairs, training);
  if (result.texts)
    return text_evaluation_html(title, facts(result), *result.texts, base_of_texts(result),
                                training);
  return evaluation_html(title, facts(result), result.evaluation, result.labels, training);
}

Json measured_json(const BuildResult& result) {
  if (result.tagged) return result.tagged->to_json();
  if (result.extracted) return result.extracted->to_json();
  if (result.label_sets) return result.label_sets->to_json(result.labels);
  if (result.pairs) return result.pairs->to_json();
  if (result.texts) return result.texts->to_json();
  return result.evaluation.to_json(result.labels);
}

// The teacher and the base on the same rows, where there were some.
void add_compared(const BuildResult& result, Json& json) {
  const auto sets_json = [&](const LabelSetEvaluation& e) { return e.to_json(result.labels); };
  const auto pairs_json = [](const PairEvaluation& e) { return e.to_json(); };
  const auto add = [&](const char* key, const auto& evaluation, const auto& to_json,
                       std::size_t bytes) {
    if (!evaluation) return;
    json[key] = to_json(*evaluation);
    json[key]["bytes"] = bytes;
  };
  add("teacher", result.teacher_label_sets, sets_json, result.teacher_bytes);
  add("frozen_encoder", result.baseline_label_sets, sets_json, result.baseline_bytes);
  add("teacher", result.teacher_pairs, pairs_json, result.teacher_bytes);
  add("frozen_encoder", result.baseline_pairs, pairs_json, result.baseline_bytes);
}

std::string heads_text(const BuildResult& result) {
  std::string text;
  for (const BuildResult& head : result.heads) {
    text += fmt::format("\n{}: {}", head.task.name, evaluation_text(head.evaluation, head.labels));
    if (!result.teacher.empty())
      text += fmt::format("teacher: accuracy {:.2f} %\n",
                          100 * head.teacher_evaluation.metrics.accuracy.value);
    if (head.gate) text += fmt::format("gate {}\n", head.gate->text);
  }
  return text;
}

Json gate_json(const GateResult& gate) {
  return {{"accepted", gate.accepted},
          {"lower_bound", gate.lower_bound},
          {"required", gate.required},
          {"text", gate.text}};
}

Json heads_json(const BuildResult& result) {
  Json json = Json::object();
  for (const BuildResult& head : result.heads) {
    Json& one = json[head.task.name] = head.evaluation.to_json(head.labels);
    one["train_rows"] = head.train_rows;
    if (!result.training) one["c"] = head.search.c;
    one["temperature"] = head.temperature;
    one["threshold"] = head.threshold;
    one["detectable_loss"] = head.detectable_loss;
    if (!result.teacher.empty())
      one["teacher_accuracy"] = head.teacher_evaluation.metrics.accuracy.value;
    if (head.gate) one["gate"] = gate_json(*head.gate);
  }
  return json;
}

// Of a model with several heads.
Status print_heads(const BuildResult& result, const Options& options) {
  if (!options.json) {
    fmt::print("{}", heads_text(result));
    if (result.accepted())
      fmt::print("wrote {} ({:.1f} MB, {} heads) in {:.1f} s\n", options.out,
                 static_cast<double>(result.model_bytes) / 1e6, result.heads.size(),
                 result.seconds);
    return {};
  }
  Json json = {{"heads", heads_json(result)}};
  json["model"] = result.accepted() ? Json(options.out) : Json();
  json["model_bytes"] = result.model_bytes;
  if (result.training) json["training"] = training_json(*result.training);
  if (!result.teacher.empty())
    json["teacher"] = {{"model", result.teacher.string()}, {"bytes", result.teacher_bytes}};
  json["seconds"] = result.seconds;
  return print_line(to_text(json, 2));
}

// A page for each head: REPORT.HEAD.html.
Status write_head_pages(const BuildResult& result, const Options& options) {
  for (BuildResult head : result.heads) {
    head.base = result.base;
    head.training = result.training;
    std::filesystem::path path = options.html;
    path.replace_extension(head.task.name + path.extension().string());
    TACK_RETURN_IF_ERROR(
        write_file(path, evaluation_html(result.task.name + ": " + head.task.name, facts(head),
                                         head.evaluation, head.labels, training_html(head))));
    fmt::print(options.json ? stderr : stdout, "report: {}\n", path.string());
  }
  return {};
}
// Of a decoder: there are no labels, hence no calibration and no gate.
Json texts_json(const BuildResult& result, const Options& options) {
  Json json = result.texts->to_json();
  if (result.baseline_texts) json["base"] = result.baseline_texts->to_json();
  json["model"] = options.out;
  json["model_bytes"] = result.model_bytes;
  json["parameters"] = result.trained_parameters;
  json["training"] = training_json(*result.training);
  json["seconds"] = result.seconds;
  return json;
}

Status print(const BuildResult& result, const Options& options) {
  if (!result.heads.empty()) return print_heads(result, options);
  if (!options.json) {
    fmt::print("\n{}", measured_text(result));
    fmt::print("{}", comparison_text(comparison_json(result)));
    if (result.gate) fmt::print("gate {}\n", result.gate->text);
    if (result.accepted())
      fmt::print("wrote {} ({:.1f} MB) in {:.1f} s\n", options.out,
                 static_cast<double>(result.model_bytes) / 1e6, result.seconds);
    return {};
  }
  if (result.texts) return print_line(to_text(texts_json(result, options), 2));
  Json json = measured_json(result);
  json["model"] = result.accepted() ? Json(options.out) : Json();
  json["model_bytes"] = result.model_bytes;
  json["train_rows"] = result.train_rows;
  json["c"] = result.training ? Json() : Json(result.search.c);
  if (result.training) json["training"] = training_json(*result.training);
  if (result.teacher_tagged) {
    json["teacher"] = result.teacher_tagged->to_json();
    json["teacher"]["bytes"] = result.teacher_bytes;
  } else if (result.teacher_extracted) {
    json["teacher"] = result.teacher_extracted->to_json();
    json["teacher"]["bytes"] = result.teacher_bytes;
  } else if (result.label_sets || result.pairs) {
    add_compared(result, json);
  } else if (!result.teacher.empty()) {
    json["teacher"] = {{"model", result.teacher.string()},
                       {"bytes", result.teacher_bytes},
                       {"accuracy", result.teacher_evaluation.metrics.accuracy.value}};
  }
  if (result.baseline_bytes > 0 && !json.contains("frozen_encoder"))
    json["frozen_encoder"] = {{"bytes", result.baseline_bytes},
                              {"accuracy", result.baseline_evaluation.metrics.accuracy.value}};
  json["temperature"] = result.temperature;
  json["threshold"] = result.threshold;
  json["detectable_loss"] = result.detectable_loss;
  json["seconds"] = result.seconds;
  if (result.gate) json["gate"] = gate_json(*result.gate);
  return print_line(to_text(json, 2));
}

Status run(Options& options) {
  Task task;
  if (!options.task_file.empty()) {
    if (!options.data.empty())
      return fail(ErrorCode::kUsage, "give a task.toml or --data, not both");
    std::vector<std::string> values = options.set;
    if (!options.base.empty())
      values.push_back("model.base=" + (options.base.contains('/')
                                            ? std::filesystem::absolute(options.base).string()
                                            : options.base));
    TACK_TRY(task, read_task(options.task_file, values));
  } else {
    TACK_TRY(task, task_from_flags(options));
  }
  if (!options.name.empty()) task.name = options.name;
  if (options.out.empty()) {
    if (options.task_file.empty())
      return fail(ErrorCode::kUsage, "say where the model goes with --out MODEL.gguf");
    options.out = task.name + ".gguf";
  }
  if (task.name.empty()) task.name = std::filesystem::path(options.out).stem().string();

  std::string command = "tack build";
  if (!options.task_file.empty()) command += " " + options.task_file;
  if (!options.data.empty()) command += " --data " + options.data;
  for (const std::string& set : options.set) command += " --set " + set;
  if (!options.base.empty() && !options.task_file.empty()) command += " --base " + options.base;
  BuildOptions build{.out = options.out, .threads = options.threads, .command = command};
  build.message = [&](const std::string& line) {
    fmt::print(options.json ? stderr : stdout, "{}\n", line);
    std::fflush(stdout);
  };
  TACK_TRY(const BuildResult result, build_task(task, build));
  TACK_RETURN_IF_ERROR(print(result, options));
  if (!options.html.empty() && !result.heads.empty()) {
    TACK_RETURN_IF_ERROR(write_head_pages(result, options));
  } else if (!options.html.empty()) {
    TACK_RETURN_IF_ERROR(write_file(options.html, measured_html(result)));
    fmt::print(options.json ? stderr : stdout, "report: {}\n", options.html);
  }
  if (!result.accepted())
    return fail(ErrorCode::kRefused, "the gate refused the model; nothing was written to {}",
                options.out);
  return {};
}

}  // namespace

Verb make_build(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("build", "Make a task model from labelled rows");
  verb.option("task", options->task_file, "task.toml; or use --data");
  verb.option("--data", options->data, "CSV, TSV, JSONL or JSON with labelled rows");
  verb.option("--test", options->test, "Test rows; default: 20 % of --data, held out");
  verb.option("--text", options->text, "Column of the text");
  verb.option("--label", options->label, "Column of the label");
  verb.option("--oos-label", options->oos_label, "Label of rows that belong to no label");
  verb.option("--format", options->format, "auto, csv, tsv, jsonl or json").show_default();
  verb.option("--base", options->base, "Encoder (path or name)");
  verb.option("--out,-o", options->out, "The task model to write; default: NAME.gguf");
  verb.option("--name", options->name, "Name of the task");
  verb.option("--html", options->html, "Also write the report as one HTML page");
  verb.option("--false-alarms", options->false_alarms,
              "Share of in-scope texts that may be called out of scope")
      .range(0.0, 0.5)
      .show_default();
  verb.option("--floor", options->floor, "Gate: least accuracy, 0 to 1").range(0.0, 1.0);
  verb.option("--baseline", options->baseline, "Gate: a task model that must not be lost to");
  verb.option("--margin", options->margin, "Gate: least difference to the baseline").show_default();
  verb.option("--set", options->set, "SECTION.KEY=VALUE in place of what task.toml says");
  add_threads_option(verb, options->threads);
  verb.flag("--json", options->json, "Print the result as JSON");
  verb.footer("Example: tack build --data tickets.csv --text text --label intent -o tickets.gguf");
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
