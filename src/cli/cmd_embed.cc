// `tack embed`: one vector a line of text.

#include <array>

#include "base/progress.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "engine/text_encoder.h"

namespace tack {
namespace {

struct Options {
  std::string model, input;
  int threads = 0;
  bool json = false;
};

constexpr std::size_t kBatch = 512;

// Shortest text that reads back as the same float.
std::string to_array(std::span<const float> vector) {
  std::string out = "[";
  for (float v : vector) {
    if (out.size() > 1) out += ',';
    fmt::format_to(std::back_inserter(out), "{}", v);
  }
  return out += ']';
}

Status run(const Options& options) {
  TACK_TRY(const auto path, resolve_model(options.model));
  TACK_TRY(auto model, Model::open(path));
  TACK_TRY(auto encoder, TextEncoder::create(model, {.threads = options.threads}));
  TACK_TRY(LineReader reader, LineReader::open(options.input));
  const auto dims = static_cast<std::size_t>(encoder->output_dim("embedding"));
  if (dims == 0) return fail(ErrorCode::kUsage, "{}: the model makes no embeddings", model->name());
  constexpr std::array<std::string_view, 1> kOutputs = {"embedding"};
  std::int64_t done = 0, cut = 0, cut_tokens = 0;
  Progress progress("embedding", 0, "texts");
  for (;;) {
    TACK_TRY(const auto lines, reader.batch(kBatch));
    if (lines.empty()) break;
    TACK_TRY(const Encoded encoded, encoder->run(views(lines), kOutputs));
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const EncodedText& info = encoded.info[i];
      const std::string vector = to_array(std::span(encoded.outputs[0]).subspan(i * dims, dims));
      TACK_RETURN_IF_ERROR(print_line(
          options.json ? fmt::format(R"({{"index":{},"tokens":{},"truncated":{},"embedding":{}}})",
                                     done, info.tokens, info.truncated, vector)
                       : vector));
      ++done;
      cut += info.truncated > 0;
      cut_tokens += info.truncated;
    }
    progress.advance(static_cast<std::int64_t>(lines.size()));
  }
  progress.finish();
  warn_truncated(done, cut, cut_tokens, model->context_length());
  return {};
}

}  // namespace

Verb make_embed(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = root.add_subcommand("embed", "Turn lines of text into vectors");
  add_model_option(*verb, options->model, "Encoder (path or name); default: the default encoder");
  verb->add_option("input", options->input, "Text file, one text a line; -: standard input");
  add_threads_option(*verb, options->threads);
  verb->add_flag("--json", options->json, "Objects with index, tokens and truncation");
  verb->footer("Example: echo 'where is my parcel' | tack embed all-minilm-l6-v2 - --json");
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
