// `tack tokenize`: what the model sees of each text.

#include <fmt/ranges.h>

#include "base/json.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "models/model.h"

namespace tack {
namespace {

struct Options {
  std::string model;
  TextInput input;
  std::int64_t max_tokens = 0;
  bool json = false, pieces = false;
};

Status run(const Options& options) {
  TACK_TRY(const auto path, resolve_model(options.model));
  TACK_TRY(const auto model, Model::open(path));
  TACK_TRY(auto rows, open_texts(options.input, *model));
  std::vector<std::string> fields;
  for (;;) {
    TACK_TRY(const bool any, rows->next(fields));
    if (!any) return {};
    const Tokens tokens = model->tokenizer().encode(fields[0], options.max_tokens);
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

Verb make_tokenize(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("tokenize", "Show the tokens of texts");
  add_model_option(verb, options->model, "Model (path or name); default: the default encoder");
  add_text_input(verb, options->input);
  verb.option("--max-tokens", options->max_tokens,
              "Cut after so many, special tokens included; 0: never")
      .not_negative();
  verb.flag("--pieces", options->pieces, "Print the pieces, not their ids");
  verb.flag("--json", options->json, "One object a line");
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
