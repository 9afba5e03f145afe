// `tack tag`: the named spans of each text, streamed.

#include <algorithm>

#include "base/json.h"
#include "base/progress.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "tasks/tagger.h"

namespace tack {
namespace {

struct Options {
  std::string model;
  TextInput input;
  int threads = 0;
  std::size_t batch = 256;
  bool json = false;
};

// "fly to [New York](city) [tomorrow](day)"
std::string marked(const std::string& text, const TagPrediction& p,
                   const std::vector<std::string>& labels) {
  std::string out;
  if (p.label) out = labels[p.label->label] + (p.label->out_of_scope ? " (out of scope?)\t" : "\t");
  std::size_t at = 0;
  for (const Span& span : p.spans) {
    const auto begin = static_cast<std::size_t>(span.begin),
               end = static_cast<std::size_t>(span.end);
    out += fmt::format("{}[{}]({})", text.substr(at, begin - at), text.substr(begin, end - begin),
                       span.name);
    at = end;
  }
  return out + text.substr(at);
}

Status run(const Options& options) {
  TACK_TRY(const auto path, resolve_model(options.model));
  TACK_TRY(auto tagger, Tagger::open(path, {.threads = options.threads}));
  TACK_TRY(auto rows, open_texts(options.input, tagger->model()));
  std::int64_t done = 0, cut = 0, cut_tokens = 0;
  Progress progress("tagging", 0, "rows");
  std::vector<std::string> texts;
  // The first answer comes at once; batches grow to what runs fastest.
  bool more = true;
  for (std::size_t batch = 1; more; batch = std::min(batch * 4, options.batch)) {
    texts.clear();
    TACK_TRY(more, read_texts(*rows, batch, texts));
    TACK_TRY(const auto predictions, tagger->predict(views(texts)));
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const TagPrediction& p = predictions[i];
      if (options.json) {
        Json json = tag_json(texts[i], p, tagger->labels());
        json["index"] = done;
        TACK_RETURN_IF_ERROR(print_line(to_text(json)));
      } else {
        TACK_RETURN_IF_ERROR(print_line(marked(texts[i], p, tagger->labels())));
      }
      ++done;
      cut += p.truncated > 0 ? 1 : 0;
      cut_tokens += p.truncated;
    }
    if (batch == 1) std::fflush(stdout);
    progress.advance(static_cast<std::int64_t>(texts.size()));
  }
  progress.finish();
  warn_truncated(done, cut, cut_tokens, tagger->model().context_length());
  return {};
}

}  // namespace

Verb make_tag(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("tag", "Find named spans in texts with a tagger");
  add_model_option(verb, options->model, "Tagger (path or name)").required();
  add_text_input(verb, options->input);
  verb.flag("--json", options->json, "One JSON object a text; positions count characters");
  verb.option("--batch", options->batch, "Rows computed together; 1 answers each row at once")
      .range(1, 100000)
      .show_default();
  add_threads_option(verb, options->threads);
  verb.footer("Example: echo 'book a table in Rome for two' | tack tag snips.gguf");
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
