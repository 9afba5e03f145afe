// `tack eval`: how good a task model is on labelled rows.

#include "base/atomic_file.h"
#include "base/progress.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "tasks/heads.h"
#include "tasks/report.h"

namespace tack {
namespace {

struct Options {
  std::string model, head, data, text, label, oos_label, format = "auto", html;
  int threads = 0;
  bool json = false;
};

Result<DataSource> source_of(const Options& options, const Model& model) {
  const auto or_task = [&](const std::string& flag, const char* key, const char* fallback) {
    if (!flag.empty()) return flag;
    const std::string stored = task_data(model, key, options.head);
    return stored.empty() ? std::string(fallback) : stored;
  };
  const bool tags = !model.tags().empty();
  DataSource source;
  source.path = options.data;
  source.text = or_task(options.text, "text", "text");
  source.label = tags && model.labels().empty() ? "" : or_task(options.label, "label", "label");
  source.oos_label = or_task(options.oos_label, "oos_label", "");
  if (tags) source.spans = or_task("", "spans", "spans");
  TACK_TRY(source.format, parse_row_format(options.format));
  return source;
}

Status run_tagger(const Options& options, const std::filesystem::path& path) {
  TACK_TRY(auto tagger, Tagger::open(path, {.threads = options.threads}));
  TACK_TRY(const DataSource source, source_of(options, tagger->model()));
  TACK_TRY(const Dataset data, read_dataset(source, tagger->labels()));
  Progress progress("evaluating", static_cast<std::int64_t>(data.size()), "rows");
  TACK_TRY(
      const TagEvaluation evaluation,
      evaluate(*tagger, data, {.progress = [&](std::int64_t rows) { progress.advance(rows); }}));
  progress.finish();
  if (options.json)
    TACK_RETURN_IF_ERROR(print_line(to_text(evaluation.to_json(), 2)));
  else
    fmt::print("{}", tag_evaluation_text(evaluation));
  if (options.html.empty()) return {};
  TACK_RETURN_IF_ERROR(write_file(
      options.html,
      tag_evaluation_html(tagger->model().name(),
                          {{"model", path.string()}, {"data", options.data}}, evaluation)));
  fmt::print(options.json ? stderr : stdout, "report: {}\n", options.html);
  return {};
}

Status run_extractor(const Options& options, const std::filesystem::path& path) {
  TACK_TRY(auto extractor, Extractor::open(path, {.threads = options.threads}));
  DataSource source;
  source.path = options.data;
  TACK_TRY(source.format, parse_row_format(options.format));
  TACK_TRY(const QuestionSet data, read_questions(source));
  Progress progress("evaluating", static_cast<std::int64_t>(data.size()), "rows");
  TACK_TRY(
      const ExtractEvaluation evaluation,
      evaluate(*extractor, data, {.progress = [&](std::int64_t rows) { progress.advance(rows); }}));
  progress.finish();
  if (options.json)
    TACK_RETURN_IF_ERROR(print_line(to_text(evaluation.to_json(), 2)));
  else
    fmt::print("{}", extract_evaluation_text(evaluation));
  if (options.html.empty()) return {};
  TACK_RETURN_IF_ERROR(write_file(
      options.html,
      extract_evaluation_html(extractor->model().name(),
                              {{"model", path.string()}, {"data", options.data}}, evaluation)));
  fmt::print(options.json ? stderr : stdout, "report: {}\n", options.html);
  return {};
}

Status run(const Options& options) {
  TACK_TRY(const auto path, resolve_model(options.model));
  {
    TACK_TRY(const auto model, Model::open(path));
    if (!model->tags().empty() && !options.head.empty())
      return fail(ErrorCode::kUsage, "{} is a tagger: --head does not go with it", path.string());
    if (!model->tags().empty()) return run_tagger(options, path);
    if (is_extractor(*model)) return run_extractor(options, path);
  }
  TACK_TRY(auto predictor, TaskPredictor::open(path, {.threads = options.threads}, options.head));
  TACK_TRY(const DataSource source, source_of(options, predictor->model()));
  TACK_TRY(const Dataset data, read_dataset(source, predictor->labels()));
  Progress progress("evaluating", static_cast<std::int64_t>(data.size()), "rows");
  TACK_TRY(
      const Evaluation evaluation,
      evaluate(*predictor, data, {.progress = [&](std::int64_t rows) { progress.advance(rows); }}));
  progress.finish();
  if (options.json)
    TACK_RETURN_IF_ERROR(print_line(to_text(evaluation.to_json(predictor->labels()), 2)));
  else
    fmt::print("{}", evaluation_text(evaluation, predictor->labels()));
  if (!options.html.empty()) {
    const std::vector<Fact> facts = {{"model", path.string()}, {"data", options.data}};
    TACK_RETURN_IF_ERROR(write_file(
        options.html,
        evaluation_html(predictor->model().name(), facts, evaluation, predictor->labels())));
    fmt::print(options.json ? stderr : stdout, "report: {}\n", options.html);
  }
  return {};
}

}  // namespace

Verb make_eval(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = root.add_subcommand("eval", "Measure a task model on labelled rows");
  add_model_option(*verb, options->model, "Task model (path or name)")->required();
  verb->add_option("data,--data", options->data, "CSV, TSV, JSONL or JSON with labelled rows")
      ->required();
  verb->add_option("--head", options->head, "Which question, of a model with several");
  verb->add_option("--text", options->text,
                   "Column of the text; default: the one it was built with");
  verb->add_option("--label", options->label, "Column of the label; default likewise");
  verb->add_option("--oos-label", options->oos_label,
                   "Label of rows out of scope; default likewise");
  verb->add_option("--format", options->format, "auto, csv, tsv, jsonl or json")
      ->capture_default_str();
  verb->add_option("--html", options->html, "Also write the report as one HTML page");
  add_threads_option(*verb, options->threads);
  verb->add_flag("--json", options->json, "Print the result as JSON");
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
