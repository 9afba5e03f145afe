// `tack tokenize`: what the model sees of each text.

#include <charconv>
#include <filesystem>

#include <fmt/ranges.h>

#include "base/json.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "models/model.h"
#include "models/tokenizer_loading.h"

namespace tack {
namespace {

struct Options {
  std::string model;
  TextInput input;
  std::int64_t max_tokens = 0;
  bool json = false, pieces = false, special = false, decode = false;
};

struct Source {
  std::unique_ptr<const Tokenizer> alone;
  std::shared_ptr<const Model> model;
  const Tokenizer& tokenizer() const { return model != nullptr ? model->tokenizer() : *alone; }
};

// A model, or what has nothing but a tokenizer: tokenizer.json, tokenizer.model, tekken.json, a
// GGUF file or a directory without weights.
Result<Source> open_source(const std::string& name) {
  TACK_TRY(const auto path, resolve_model(name));
  std::error_code error;
  const bool directory = std::filesystem::is_directory(path, error);
  bool model = directory ? std::filesystem::exists(path / "config.json") : false;
  if (path.extension() == ".gguf") {
    TACK_TRY(const auto file, GgufFile::open(path));
    model = !file.tensors().empty();
  }
  Source source;
  if (model) {
    TACK_TRY(source.model, Model::open(path));
  } else {
    TACK_TRY(source.alone, open_tokenizer(path));
  }
  return source;
}

// A line of ids back to text.
Result<std::vector<TokenId>> parse_ids(std::string_view line) {
  std::vector<TokenId> ids;
  const char* at = line.data();
  const char* const end = at + line.size();
  while (at != end) {
    TokenId id = 0;
    const auto [stop, failed] = std::from_chars(at, end, id);
    if (failed != std::errc() || (stop != end && *stop != ' '))
      return fail(ErrorCode::kUsage, "'{}' is not a line of token ids with one space between them",
                  line.substr(0, 60));
    ids.push_back(id);
    at = stop == end ? end : stop + 1;
  }
  return ids;
}

Status print_decoded(const Tokenizer& tokenizer, const std::string& line, bool json) {
  TACK_TRY(const auto ids, parse_ids(line));
  const std::string text = tokenizer.decode(ids);
  return print_line(json ? to_text(Json{{"text", text}}) : text);
}

Status run(const Options& options) {
  TACK_TRY(const Source source, open_source(options.model));
  const Tokenizer& tokenizer = source.tokenizer();
  TACK_TRY(auto rows, source.model != nullptr ? open_texts(options.input, *source.model)
                                              : open_texts(options.input, std::string()));
  std::vector<std::string> fields;
  for (;;) {
    TACK_TRY(const bool any, rows->next(fields));
    if (!any) return {};
    if (options.decode) {
      TACK_RETURN_IF_ERROR(print_decoded(tokenizer, fields[0], options.json));
      continue;
    }
    const Tokens tokens = options.special
                              ? tokenizer.encode_with_special(fields[0], options.max_tokens)
                              : tokenizer.encode(fields[0], options.max_tokens);
    std::vector<std::string> pieces;
    if (options.pieces)
      for (TokenId id : tokens.ids) pieces.emplace_back(tokenizer.token(id));
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
  verb.flag("--special", options->special,
            "Take special tokens that a text spells out as such (encoders always do)");
  verb.flag("--decode", options->decode, "Lines of ids in, texts out");
  verb.flag("--json", options->json, "One object a line");
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
