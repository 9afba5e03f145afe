// `tack extract`: the stretch of a context that answers a question, streamed.

#include <algorithm>
#include <cstdio>

#include <unistd.h>

#include "base/atomic_file.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "tasks/extractor.h"

namespace tack {
namespace {

constexpr std::size_t kMaxContext = std::size_t{16} << 20;

struct Options {
  std::string model, input, format = "auto", question, context_file;
  std::int64_t longest = kLongestAnswer;
  double threshold = 0;
  bool has_threshold = false;
  int threads = 0;
  std::size_t batch = 64;
  bool json = false;
};

Status print_answer(const Options& options, std::string_view question, std::string_view context,
                    const Extraction& extraction, std::int64_t index) {
  if (options.json) {
    Json json = extraction_json(context, extraction);
    json["index"] = index;
    return print_line(to_text(json));
  }
  std::string answer(extraction.answered ? extraction.text(context) : "(no answer)");
  // One line an answer, whatever the context's lines are.
  std::ranges::replace_if(answer, [](char c) { return c == '\n' || c == '\r' || c == '\t'; }, ' ');
  return print_line(fmt::format("{}\t{:.3f}\t{}", answer, extraction.probability, question));
}

Status answer_one(const Options& options, Extractor& extractor) {
  std::string context;
  if (!options.context_file.empty() && options.context_file != "-") {
    TACK_TRY(context, read_file(options.context_file, kMaxContext));
  } else {
    if (options.context_file.empty() && isatty(STDIN_FILENO) == 1)
      return fail(ErrorCode::kUsage,
                  "no context: name a file with --context-file, or pipe the text in");
    TACK_TRY(context, read_standard_input("context", kMaxContext));
  }
  TACK_RETURN_IF_ERROR(check_utf8(
      context, options.context_file.empty() ? "standard input" : options.context_file, 1));
  const QuestionText asked{options.question, context};
  TACK_TRY(const auto answers, extractor.predict({&asked, 1}));
  warn_truncated(1, answers[0].truncated > 0 ? 1 : 0, answers[0].truncated, kLongestQuestion);
  return print_answer(options, options.question, context, answers[0], 0);
}

Status answer_rows(const Options& options, Extractor& extractor) {
  TACK_TRY(RowFormat format, parse_row_format(options.format));
  if (options.input.empty() && isatty(STDIN_FILENO) == 1)
    return fail(ErrorCode::kUsage,
                "no input: name a file, pipe JSON lines in, or ask one thing with --question");
  const std::string path = options.input.empty() ? "-" : options.input;
  if (path == "-" && format == RowFormat::kAuto) format = RowFormat::kJsonl;
  TACK_TRY(auto rows, RowReader::open(path, {"question", "context"}, format));
  std::int64_t done = 0, cut = 0, cut_tokens = 0;
  Progress progress("answering", 0, "rows");
  // The first answer comes at once; batches grow to what runs fastest.
  bool more = true;
  for (std::size_t batch = 1; more; batch = std::min(batch * 4, options.batch)) {
    std::vector<std::vector<std::string>> texts;
    std::vector<std::string> fields;
    while (texts.size() < batch) {
      TACK_TRY(more, rows->next(fields));
      if (!more) break;
      texts.push_back(fields);
    }
    std::vector<QuestionText> asked;
    for (const auto& row : texts) asked.push_back({row[0], row[1]});
    TACK_TRY(const auto answers, extractor.predict(asked));
    for (std::size_t i = 0; i < asked.size(); ++i) {
      TACK_RETURN_IF_ERROR(
          print_answer(options, asked[i].question, asked[i].context, answers[i], done++));
      cut += answers[i].truncated > 0 ? 1 : 0;
      cut_tokens += answers[i].truncated;
    }
    if (batch == 1) std::fflush(stdout);
    progress.advance(static_cast<std::int64_t>(asked.size()));
  }
  progress.finish();
  warn_truncated(done, cut, cut_tokens, kLongestQuestion);
  return {};
}

Status run(const Options& options) {
  if (options.question.empty() && !options.context_file.empty())
    return fail(ErrorCode::kUsage, "--context-file goes with --question");
  if (!options.question.empty() && !options.input.empty())
    return fail(ErrorCode::kUsage, "give a file with questions or --question, not both");
  TACK_TRY(const auto path, resolve_model(options.model));
  ExtractorOptions extraction{.longest = options.longest};
  if (options.has_threshold) extraction.threshold = options.threshold;
  TACK_TRY(auto extractor, Extractor::open(path, {.threads = options.threads}, extraction));
  return options.question.empty() ? answer_rows(options, *extractor)
                                  : answer_one(options, *extractor);
}

}  // namespace

Verb make_extract(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("extract", "Answer questions with a stretch of their context");
  add_model_option(verb, options->model, "Extractor (path or name)").required();
  verb.option("input", options->input,
              "Rows with question and context (JSONL, CSV, TSV); default: JSON lines of "
              "standard input");
  verb.option("--format", options->format, "Of the input: auto, csv, tsv or jsonl").show_default();
  verb.option("--question,-q", options->question, "One question, about one context");
  verb.option("--context-file", options->context_file,
              "The context of --question; default: standard input");
  verb.option("--answer-tokens", options->longest, "Longest answer, in tokens")
      .range(1, 512)
      .show_default();
  Option threshold =
      verb.option("--threshold", options->threshold,
                  "No answer below this margin; default: what the model was calibrated to");
  verb.option("--batch", options->batch, "Rows computed together; 1 answers each row at once")
      .range(1, 100000)
      .show_default();
  add_threads_option(verb, options->threads);
  verb.flag("--json", options->json, "One JSON object an answer; positions count characters");
  verb.footer("Example: tack extract squad.gguf -q 'Who wrote it?' --context-file page.txt");
  return {verb, [options, threshold] {
            options->has_threshold = threshold.given();
            return run(*options);
          }};
}

}  // namespace tack
