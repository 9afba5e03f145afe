// `tack eval`: how good a task model is on labelled rows, an encoder on texts that belong together,
// or a decoder on a text.

#include <functional>

#include "base/atomic_file.h"
#include "base/progress.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "eval/documents.h"
#include "tasks/heads.h"
#include "tasks/perplexity.h"
#include "tasks/report.h"

namespace tack {
namespace {

constexpr std::size_t kMaxText = std::size_t{1} << 30;

struct Options {
  std::string model, head, data, text, label, oos_label, format = "auto", html;
  std::string separator, positive, other, score;
  bool label_pairs = false;
  PerplexityOptions perplexity;
  bool chunked = false, documents = false;
  std::int64_t length = 0;
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

// What each kind of evaluation ends with. `html` gives the page.
Status report(const Options& options, const Json& json, const std::string& text,
              const std::function<std::string(const std::vector<Fact>&)>& html,
              const std::filesystem::path& path) {
  if (options.json)
    TACK_RETURN_IF_ERROR(print_line(to_text(json, 2)));
  else
    fmt::print("{}", text);
  if (options.html.empty()) return {};
  TACK_RETURN_IF_ERROR(
      write_file(options.html, html({{"model", path.string()}, {"data", options.data}})));
  fmt::print(options.json ? stderr : stdout, "report: {}\n", options.html);
  return {};
}

Status run_label_sets(const Options& options, TaskPredictor& predictor,
                      const std::filesystem::path& path) {
  TACK_TRY(DataSource source, source_of(options, predictor.model()));
  source.label_sets = true;
  source.oos_label.clear();
  const std::string stored = task_data(predictor.model(), "separator", options.head);
  if (!stored.empty()) source.separator = stored;
  if (!options.separator.empty()) source.separator = options.separator;
  TACK_TRY(const Dataset data, read_dataset(source, predictor.labels()));
  Progress progress("evaluating", static_cast<std::int64_t>(data.size()), "rows");
  TACK_TRY(const LabelSetEvaluation evaluation,
           evaluate_label_sets(predictor, data,
                               {.progress = [&](std::int64_t rows) { progress.advance(rows); }}));
  progress.finish();
  const auto& labels = predictor.labels();
  return report(
      options, evaluation.to_json(labels), label_set_evaluation_text(evaluation, labels),
      [&](const std::vector<Fact>& facts) {
        return label_set_evaluation_html(predictor.model().name(), facts, evaluation, labels);
      },
      path);
}

// Which texts belong together: as the flags say, else as the encoder's own task does.
PairColumns pairs_of(const Options& options, const Model& model) {
  PairColumns pairs;
  const auto set = [&](PairKind kind, const std::string& other, const std::string& score) {
    pairs.kind = kind;
    if (!other.empty()) pairs.other = other;
    pairs.score = score;
  };
  if (options.label_pairs)
    set(PairKind::kLabel, "", "");
  else if (!options.score.empty() || !options.other.empty())
    set(PairKind::kScored, options.other.empty() ? "other" : options.other,
        options.score.empty() ? "score" : options.score);
  else if (!options.positive.empty())
    set(PairKind::kPositive, options.positive, "");
  if (pairs.kind != PairKind::kNone) return pairs;
  const Json* task = model.tack_metadata("task");
  if (task == nullptr || !task->is_object() || !task->contains("data") ||
      !(*task)["data"].is_object() || !(*task)["data"].contains("pairs"))
    return pairs;
  const Json& stored = (*task)["data"]["pairs"];
  const auto text = [&](const char* key) {
    return stored.is_object() && stored.contains(key) && stored[key].is_string()
               ? stored[key].get<std::string>()
               : "";
  };
  const std::string kind = text("kind");
  if (kind == "label") set(PairKind::kLabel, "", "");
  if (kind == "scored") set(PairKind::kScored, text("other"), text("score"));
  if (kind == "positive") set(PairKind::kPositive, text("other"), "");
  return pairs;
}

Status run_pairs(const Options& options, const std::shared_ptr<const Model>& model,
                 const std::filesystem::path& path) {
  TACK_TRY(DataSource source, source_of(options, *model));
  source.pairs = pairs_of(options, *model);
  if (source.pairs.kind == PairKind::kNone)
    return fail(ErrorCode::kUsage,
                "{} is an encoder without labels: say what it is measured on with --positive, "
                "--other and --score, or --pairs-by-label",
                path.string());
  TACK_TRY(const PairSet pairs, read_pairs(source));
  TACK_TRY(auto encoder, TextEncoder::create(model, {.threads = options.threads}));
  TACK_TRY(const PairEvaluation evaluation, evaluate_pairs(*encoder, pairs));
  return report(
      options, evaluation.to_json(), pair_evaluation_text(evaluation),
      [&](const std::vector<Fact>& facts) {
        return pair_evaluation_html(model->name(), facts, evaluation);
      },
      path);
}

// Options of the others are not left unheard.
bool for_rows(const Options& options) {
  return !options.head.empty() || !options.text.empty() || !options.label.empty() ||
         !options.oos_label.empty() || !options.separator.empty() || !options.positive.empty() ||
         !options.other.empty() || !options.score.empty() || options.label_pairs ||
         options.format != "auto";
}
bool for_chunks(const Options& options) {
  const PerplexityOptions& chunks = options.perplexity;
  return options.chunked || chunks.context > 0 || chunks.chunks > 0 || !chunks.save.empty() ||
         !chunks.against.empty();
}

Status run_documents(const Options& options, const std::shared_ptr<const Model>& model,
                     const std::filesystem::path& path) {
  if (options.data.empty())
    return fail(ErrorCode::kUsage, "{}: name a file of documents to predict", path.string());
  if (for_chunks(options))
    return fail(ErrorCode::kUsage,
                "--perplexity, --context, --chunks, --kl-base and --kl do not go with --documents");
  TACK_TRY(const Dataset documents, read_documents(std::span(&options.data, 1)));
  Progress progress("evaluating", 0, "tokens");
  TACK_TRY(const TextEvaluation evaluation,
           evaluate_texts(model, documents,
                          {.threads = options.threads,
                           .length = options.length,
                           .progress = [&](std::int64_t tokens) { progress.advance(tokens); }}));
  progress.finish();
  return report(
      options, evaluation.to_json(), text_evaluation_text(evaluation),
      [&](const std::vector<Fact>& facts) {
        return text_evaluation_html(model->name(), facts, evaluation);
      },
      path);
}

Status run_decoder(Options options, const std::shared_ptr<const Model>& model) {
  if (!options.html.empty())
    return fail(ErrorCode::kUsage, "of a decoder --html goes with --documents");
  if (options.length > 0)
    return fail(ErrorCode::kUsage, "of a decoder --length goes with --documents");
  if (options.data.empty() && options.perplexity.against.empty())
    return fail(ErrorCode::kUsage, "{} is a decoder: name a file of text to predict",
                model->path().string());
  std::optional<std::string> text;
  if (options.data == "-") {
    TACK_TRY(text, read_standard_input("text", kMaxText));
  } else if (!options.data.empty()) {
    TACK_TRY(text, read_file(options.data));
  }
  std::optional<Progress> progress;
  options.perplexity.threads = options.threads;
  options.perplexity.progress = [&](std::int64_t, std::int64_t total) {
    if (!progress) progress.emplace("evaluating", total, "chunks");
    progress->advance();
  };
  TACK_TRY(const PerplexityResult result, measure_perplexity(model, text, options.perplexity));
  if (progress) progress->finish();
  if (options.json) return print_line(to_text(result.to_json(), 2));
  fmt::print("{}", result.to_text());
  return {};
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
  return report(
      options, evaluation.to_json(), tag_evaluation_text(evaluation),
      [&](const std::vector<Fact>& facts) {
        return tag_evaluation_html(tagger->model().name(), facts, evaluation);
      },
      path);
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
  return report(
      options, evaluation.to_json(), extract_evaluation_text(evaluation),
      [&](const std::vector<Fact>& facts) {
        return extract_evaluation_html(extractor->model().name(), facts, evaluation);
      },
      path);
}

Status run(const Options& options) {
  TACK_TRY(const auto path, resolve_model(options.model));
  {
    TACK_TRY(const auto model, Model::open(path));
    if (model->generates() && for_rows(options))
      return fail(ErrorCode::kUsage,
                  "{} is a decoder, measured on plain text: no columns, heads or --format",
                  path.string());
    if (!model->generates() && (for_chunks(options) || options.documents || options.length > 0))
      return fail(
          ErrorCode::kUsage,
          "{} is no decoder: --perplexity, --documents, --length, --context, --chunks, --kl-base "
          "and --kl do not go with it",
          path.string());
    if (model->generates())
      return options.documents ? run_documents(options, model, path) : run_decoder(options, model);
    if (options.data.empty())
      return fail(ErrorCode::kUsage, "name a file of rows that {} is measured on", path.string());
    if (!model->tags().empty() && !options.head.empty())
      return fail(ErrorCode::kUsage, "{} is a tagger: --head does not go with it", path.string());
    if (!model->tags().empty()) return run_tagger(options, path);
    if (is_extractor(*model)) return run_extractor(options, path);
    if (model->labels().empty() && !options.head.empty())
      return fail(ErrorCode::kUsage, "{} is an encoder: --head does not go with it", path.string());
    if (model->labels().empty()) return run_pairs(options, model, path);
  }
  TACK_TRY(auto predictor, TaskPredictor::open(path, {.threads = options.threads}, options.head));
  if (predictor->multilabel()) return run_label_sets(options, *predictor, path);
  TACK_TRY(const DataSource source, source_of(options, predictor->model()));
  TACK_TRY(const Dataset data, read_dataset(source, predictor->labels()));
  Progress progress("evaluating", static_cast<std::int64_t>(data.size()), "rows");
  TACK_TRY(
      const Evaluation evaluation,
      evaluate(*predictor, data, {.progress = [&](std::int64_t rows) { progress.advance(rows); }}));
  progress.finish();
  const auto& labels = predictor->labels();
  return report(
      options, evaluation.to_json(labels), evaluation_text(evaluation, labels),
      [&](const std::vector<Fact>& facts) {
        return evaluation_html(predictor->model().name(), facts, evaluation, labels);
      },
      path);
}

}  // namespace

Verb make_eval(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("eval", "Measure a model on labelled rows, or a decoder on a text");
  add_model_option(verb, options->model, "Task model (path or name)").required();
  verb.option("data,--data", options->data,
              "CSV, TSV, JSONL or JSON with labelled rows or pairs; of a decoder, a text");
  verb.option("--head", options->head, "Which question, of a model with several");
  verb.option("--text", options->text, "Column of the text; default: the one it was built with");
  verb.option("--label", options->label, "Column of the label; default likewise");
  verb.option("--oos-label", options->oos_label, "Label of rows out of scope; default likewise");
  verb.option("--separator", options->separator,
              "Between the labels of a field, of a multilabel model; default likewise");
  verb.option("--positive", options->positive,
              "Of an encoder: column of the text that belongs to each text");
  verb.option("--other", options->other, "Of an encoder: column of the second text of a pair");
  verb.option("--score", options->score, "Of an encoder: column of the pair's score");
  verb.flag("--pairs-by-label", options->label_pairs,
            "Of an encoder: texts of one label belong together");
  PerplexityOptions& perplexity = options->perplexity;
  verb.flag("--perplexity", options->chunked,
            "Of a decoder: the text in chunks, as llama-perplexity has it (the default)");
  verb.option("--context", perplexity.context,
              "Of a decoder: tokens in a chunk of the text; default: 512, or the model's")
      .not_negative();
  verb.option("--chunks", perplexity.chunks, "Of a decoder: chunks to measure; default: all")
      .not_negative();
  verb.option("--kl-base", perplexity.save,
              "Of a decoder: write its log-probabilities, as llama-perplexity does");
  verb.option("--kl", perplexity.against,
              "Of a decoder: compare with log-probabilities that were written so");
  verb.flag("--documents", options->documents,
            "Of a decoder: every document of the text anew; perplexity and bits per byte");
  verb.option("--length", options->length,
              "With --documents: tokens that are predicted together; default: as it was trained")
      .range(0, 1 << 20);
  verb.option("--format", options->format, "auto, csv, tsv, jsonl or json").show_default();
  verb.option("--html", options->html, "Also write the report as one HTML page");
  add_threads_option(verb, options->threads);
  verb.flag("--json", options->json, "Print the result as JSON");
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
