// `tack embed`: one vector a text.

#include <array>

#include "base/progress.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "engine/text_encoder.h"

namespace tack {
namespace {

struct Options {
  std::string model;
  TextInput input;
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
  TACK_TRY(auto rows, open_texts(options.input, *model));
  const auto dims = static_cast<std::size_t>(encoder->output_dim("embedding"));
  if (dims == 0) return fail(ErrorCode::kUsage, "{}: the model makes no embeddings", model->name());
  constexpr std::array<std::string_view, 1> kOutputs = {"embedding"};
  std::int64_t done = 0, cut = 0, cut_tokens = 0;
  Progress progress("embedding", 0, "texts");
  std::vector<std::string> texts;
  for (bool more = true; more;) {
    texts.clear();
    TACK_TRY(more, read_texts(*rows, kBatch, texts));
    TACK_TRY(const Encoded encoded, encoder->run(views(texts), kOutputs));
    for (std::size_t i = 0; i < texts.size(); ++i) {
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
    progress.advance(static_cast<std::int64_t>(texts.size()));
  }
  progress.finish();
  warn_truncated(done, cut, cut_tokens, model->context_length());
  return {};
}

}  // namespace

Verb make_embed(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("embed", "Turn texts into vectors");
  add_model_option(verb, options->model, "Encoder (path or name); default: the default encoder");
  add_text_input(verb, options->input);
  add_threads_option(verb, options->threads);
  verb.flag("--json", options->json, "Objects with index, tokens and truncation");
  verb.footer("Example: echo 'where is my parcel' | tack embed all-minilm-l6-v2 - --json");
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
