// `tack tokenize`: what the model sees of each line of text.

#include <fmt/ranges.h>

#include "base/json.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "models/model.h"

namespace tack {
namespace {

struct Options {
  std::string model, input;
  std::int64_t max_tokens = 0;
  bool json = false, pieces = false;
};

Status run(const Options& options) {
  TACK_TRY(const auto path, resolve_model(options.model));
  TACK_TRY(const auto model, Model::open(path));
  TACK_TRY(LineReader reader, LineReader::open(options.input));
  for (;;) {
    TACK_TRY(const auto line, reader.next());
    if (!line) return {};
    const Tokens tokens = model->tokenizer().encode(*line, options.max_tokens);
    std::vector<std::string> pieces;
    if (options.pieces)
      for (TokenId id : tokens.ids) pieces.emplace_back(model->tokenizer().token(id));
    if (options.json) {
      Json object = {{"ids", tokens.ids}, {"truncated", tokens.truncated}};
      if (options.pieces) object["pieces"] = pieces;
      TACK_RETURN_IF_ERROR(print_line(to_text(object)));
    } else {
      TACK_RETURN_IF_ERROR(print_line(options.pieces
                                          ? fmt::format("{}", fmt::join(pieces, " "))
                                          : fmt::format("{}", fmt::join(tokens.ids, " "))));
    }
  }
}

}  // namespace

Verb make_tokenize(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = root.add_subcommand("tokenize", "Show the tokens of lines of text");
  add_model_option(*verb, options->model, "Model (path or name); default: the default encoder");
  verb->add_option("input", options->input, "Text file, one text a line; -: standard input");
  verb->add_option("--max-tokens", options->max_tokens,
                   "Cut after so many, special tokens included; 0: never")
      ->check(CLI::NonNegativeNumber);
  verb->add_flag("--pieces", options->pieces, "Print the pieces, not their ids");
  verb->add_flag("--json", options->json, "One object a line");
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
