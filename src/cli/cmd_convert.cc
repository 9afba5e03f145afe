// `tack convert`: a Hugging Face directory, or a GGUF, into one GGUF.

#include <filesystem>

#include "base/progress.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "models/model.h"

namespace tack {
namespace {

struct Options {
  std::string from, to;
  ConvertOptions convert;
};

Status run(Options& options) {
  std::optional<Progress> progress;
  options.convert.progress = [&](std::int64_t, std::int64_t total) {
    if (!progress) progress.emplace("converting", total, "tensors");
    progress->advance();
  };
  TACK_RETURN_IF_ERROR(convert_model(options.from, options.to, options.convert));
  if (progress) progress->finish();
  std::error_code error;
  fmt::print("{}: {:.1f} MB, {}\n", options.to,
             static_cast<double>(std::filesystem::file_size(options.to, error)) / 1e6,
             options.convert.type);
  return {};
}

}  // namespace

Verb make_convert(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("convert", "Convert a model to one GGUF file");
  verb.option("from", options->from, "Hugging Face directory, or a GGUF file").required();
  verb.option("to", options->to, "The GGUF file to write").required();
  verb.option("--type", options->convert.type, "f32, f16, bf16 or int8").show_default();
  verb.option("--name", options->convert.name, "Name stored in the file");
  verb.option("--licence,--license", options->convert.licence, "Licence stored in the file");
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
