// `tack label`: a large model behind an API labels texts, for a small one to learn from.

#include <cstdlib>
#include <filesystem>

#include <fmt/ranges.h>

#include "base/atomic_file.h"
#include "base/log.h"
#include "base/progress.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "tasks/label.h"
#include "tasks/task.h"

namespace tack {
namespace {

namespace fs = std::filesystem;

struct Options {
  ChatOptions chat;
  std::string key_variable, task_file, labels_of, prompt, out, cache;
  std::vector<std::string> labels;
  TextInput data;
  double timeout_s = 60;
  int concurrency = 4, retries = 5;
  SpendingLimits limits;
  bool priced = false, json = false;
};

// The labels, and the column that the task knows the text by ("" when there is none).
struct Target {
  std::vector<std::string> labels;
  std::string column;
};

Result<Target> target_of(const Options& options) {
  if (!options.labels.empty()) return Target{options.labels, ""};
  if (!options.labels_of.empty()) {
    TACK_TRY(const auto path, resolve_model(options.labels_of));
    TACK_TRY(const auto model, Model::open(path));
    if (model->labels().empty())
      return fail(ErrorCode::kUsage, "{} has no labels of texts", path.string());
    if (model->tack_metadata("heads") != nullptr)
      return fail(ErrorCode::kUsage, "{} has several heads: say which labels with --labels",
                  path.string());
    Target target{model->labels(), task_data(*model, "text")};
    if (auto oos = task_data(*model, "oos_label"); !oos.empty()) target.labels.push_back(oos);
    return target;
  }
  TACK_TRY(const Task task, read_task(options.task_file));
  if (task.kind != TaskKind::kClassify)
    return fail(ErrorCode::kUsage, "{}: the task is to {}; only labels of texts can be asked for",
                options.task_file, task_kind_name(task.kind));
  if (!task.heads.empty())
    return fail(ErrorCode::kUsage, "{}: the task has several heads: say which labels with --labels",
                options.task_file);
  TACK_TRY(const Dataset data, read_dataset(task.train));
  Target target{data.label_names, task.train.text};
  if (!task.train.oos_label.empty()) target.labels.push_back(task.train.oos_label);
  return target;
}

Status read_key(Options& options) {
  if (options.key_variable.empty()) return {};
  const char* key = std::getenv(options.key_variable.c_str());
  if (key == nullptr || *key == '\0')
    return fail(ErrorCode::kUsage,
                "--key-env {}: there is no such environment variable, or it is "
                "empty",
                options.key_variable);
  options.chat.key = key;
  TACK_TRY(const net::Url url, net::parse_url(options.chat.upstream));
  if (!url.tls && url.host != "localhost" && url.host != "::1" && !url.host.starts_with("127."))
    log_warn("the key and the texts go to {} without encryption: https:// protects them", url.host);
  return {};
}

// What is read must not be written over.
Status check_files(const Options& options) {
  const fs::path out = options.out;
  if (out.extension() != ".jsonl")
    return fail(ErrorCode::kUsage, "--out {}: must end in .jsonl, as `tack build` goes by it",
                options.out);
  if (const fs::path folder = out.parent_path(); !folder.empty() && !fs::is_directory(folder))
    return fail(ErrorCode::kNotFound, "--out {}: there is no directory {}", options.out,
                folder.string());
  const fs::path written[] = {out, rejected_path(out), options.cache};
  for (std::size_t i = 0; i < std::size(written); ++i) {
    std::error_code ignored;
    if (fs::equivalent(written[i], options.data.path, ignored))
      return fail(ErrorCode::kUsage, "{} is --data itself: choose another name",
                  written[i].string());
    if (i < 2 && fs::weakly_canonical(written[i]) == fs::weakly_canonical(options.cache))
      return fail(ErrorCode::kUsage, "--cache {}: labelled rows go there; choose another name",
                  options.cache);
  }
  return {};
}

Json summary(const std::vector<LabelledText>& rows, const LabelTotals& totals,
             const Options& options) {
  std::int64_t labelled = 0, rejected = 0;
  for (const LabelledText& row : rows) {
    labelled += !row.label.empty();
    rejected += !row.error.empty();
  }
  Json json = {{"rows", rows.size()},
               {"labelled", labelled},
               {"rejected", rejected},
               {"open", static_cast<std::int64_t>(rows.size()) - labelled - rejected},
               {"texts", totals.texts},
               {"resumed", totals.resumed},
               {"calls", totals.calls},
               {"prompt_tokens", totals.tokens.prompt},
               {"completion_tokens", totals.tokens.completion},
               {"estimated_calls", totals.tokens.estimated},
               {"cost", options.priced ? Json(totals.cost) : Json()},
               {"out", options.out}};
  if (rejected > 0) json["rejected_out"] = rejected_path(options.out).string();
  return json;
}

void print(const Json& s, const Options& options) {
  fmt::print("labelled {} of {} rows ({} different texts, {} known from before)\n",
             s["labelled"].get<std::int64_t>(), s["rows"].get<std::int64_t>(),
             s["texts"].get<std::int64_t>(), s["resumed"].get<std::int64_t>());
  fmt::print("in all {} calls, {} tokens in, {} out", s["calls"].get<std::int64_t>(),
             s["prompt_tokens"].get<std::int64_t>(), s["completion_tokens"].get<std::int64_t>());
  if (options.priced) fmt::print(", ${:.4f}", s["cost"].get<double>());
  if (const auto estimated = s["estimated_calls"].get<std::int64_t>(); estimated > 0)
    fmt::print("; {} calls did not say what they used: estimated", estimated);
  fmt::print("\n");
  if (const auto rejected = s["rejected"].get<std::int64_t>(); rejected > 0)
    fmt::print("{} rows have no label, and why: {}\n", rejected,
               s["rejected_out"].get<std::string>());
  if (s["labelled"].get<std::int64_t>() > 0)
    fmt::print("wrote {}: tack build --data {} --text text --label label -o MODEL.gguf\n",
               options.out, options.out);
}

Status run(Options& options) {
  if (options.cache.empty()) options.cache = beside(options.out, "answers").string();
  TACK_RETURN_IF_ERROR(check_files(options));
  TACK_RETURN_IF_ERROR(read_key(options));
  options.chat.timeout =
      std::chrono::milliseconds(static_cast<std::int64_t>(options.timeout_s * 1e3));
  TACK_TRY(const ChatClient client, ChatClient::create(options.chat));
  TACK_TRY(const Target target, target_of(options));
  LabelOptions label{.journal = options.cache,
                     .concurrency = options.concurrency,
                     .retries = options.retries,
                     .limits = options.limits};
  TACK_TRY(label.labels, LabelSet::create(target.labels));
  if (!options.prompt.empty()) {
    TACK_TRY(const std::string prompt, read_file(options.prompt, std::size_t{1} << 20));
    TACK_TRY(label.prompt, PromptTemplate::parse(prompt, options.prompt));
  }
  std::vector<std::string> texts;
  TACK_TRY(auto rows, open_texts(options.data, target.column));
  for (bool more = true; more;) {
    TACK_TRY(more, read_texts(*rows, 4096, texts));
  }
  if (texts.empty()) return fail("{}: there are no rows", options.data.path);

  std::optional<Progress> progress;
  std::int64_t shown = 0;
  TACK_TRY(const LabelResult result,
           label_texts(texts, client, label, [&](const LabelTotals& totals) {
             if (!progress) progress.emplace("labelling", totals.texts - totals.resumed, "texts");
             if (options.priced) progress->note(fmt::format("${:.4f}", totals.cost));
             progress->advance(totals.settled - totals.resumed - shown);
             shown = totals.settled - totals.resumed;
           }));
  progress.reset();
  TACK_RETURN_IF_ERROR(write_labelled(texts, result, options.out));
  const Json json = summary(result.rows, result.totals, options);
  if (options.json)
    TACK_RETURN_IF_ERROR(print_line(to_text(json, 2)));
  else if (result.ended || result.totals.settled > 0)
    print(json, options);
  return result.ended;
}

}  // namespace

Verb make_label(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("label", "Have a large model behind an API label texts");
  verb.option("--upstream", options->chat.upstream,
              "OpenAI-compatible API: http://host:8000/v1, https://...")
      .required();
  verb.option("--model", options->chat.model, "The model's name there");
  verb.option("--key-env", options->key_variable, "Environment variable that holds the key");
  verb.option("--data", options->data.path,
              "Texts: lines, or a column of CSV, TSV, JSONL, JSON; - for standard input")
      .required();
  verb.option("--text", options->data.column, "Column of the text");
  verb.option("--format", options->data.format, "auto, csv, tsv, jsonl, json or text")
      .show_default();
  Command labels = verb.add_choice("labels", "Where the labels come from");
  labels.option("--labels", options->labels, "They themselves: a,b,c").delimiter(',');
  labels.option("--task", options->task_file, "Those of the training rows of a task.toml");
  labels.option("--labels-of", options->labels_of, "Those of a task model");
  verb.option("--prompt", options->prompt, "File with {{text}} and {{labels}} in it");
  verb.option("--out,-o", options->out, "Labelled rows to write, JSONL").required();
  verb.option("--cache", options->cache, "Answers so far; default: beside --out").type_name("FILE");
  verb.option("--concurrency", options->concurrency, "Calls under way at once")
      .range(1, 256)
      .show_default();
  verb.option("--retries", options->retries, "Of a call that failed, with growing pauses")
      .range(0, 100)
      .show_default();
  verb.option("--timeout", options->timeout_s, "Of a call, in seconds")
      .range(0.01, 3600.0)
      .show_default();
  verb.option("--max-tokens", options->chat.max_tokens, "Of an answer")
      .range(1, 1000000)
      .show_default();
  verb.option("--max-calls", options->limits.calls, "Stop before more calls than this").positive();
  auto price_in = verb.option("--price-in", options->limits.price_in, "USD per million tokens sent")
                      .not_negative();
  auto price_out =
      verb.option("--price-out", options->limits.price_out, "USD per million tokens answered")
          .not_negative();
  price_in.needs(price_out);
  price_out.needs(price_in);
  verb.option("--max-cost", options->limits.cost, "Stop before it costs more USD than this")
      .positive()
      .needs(price_in);
  verb.flag("--json", options->json, "Print the result as JSON");
  verb.footer(
      "Example: tack label --upstream http://localhost:8000/v1 --data texts.txt "
      "--labels billing,delivery,other -o labelled.jsonl");
  return {verb, [options, price_in] {
            options->priced = price_in.given();
            return run(*options);
          }};
}

}  // namespace tack
