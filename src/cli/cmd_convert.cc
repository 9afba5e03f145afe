// `tack convert`: a Hugging Face directory, or a GGUF, into one GGUF.

#include <filesystem>
#include <map>
#include <set>

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

// How many tensors got which type, and what the user may not expect.
class Summary {
 public:
  void add(const ConvertedTensor& tensor) {
    ++types_[tensor.to];
    if (tensor.to != tensor.wanted) ++others_[{tensor.wanted, tensor.to}];
    if (tensor.from != tensor.to && info(tensor.from).block_elements > 1)
      quantised_.insert(tensor.from);
  }
  void print() const {
    std::string line;
    for (const auto& [type, count] : types_)
      line += fmt::format("{}{} {}", line.empty() ? "" : ", ", count, info(type).name);
    fmt::print("tensors: {}\n", line);
    for (const auto& [types, count] : others_)
      fmt::print("{} in {} instead of {}: their rows are no whole number of {} values\n", count,
                 info(types.second).name, info(types.first).name, info(types.first).block_elements);
    for (const DType type : quantised_)
      fmt::print("from {}: what that type lost stays lost\n", info(type).name);
  }

 private:
  std::map<DType, int> types_;
  std::map<std::pair<DType, DType>, int> others_;  // wanted, taken
  std::set<DType> quantised_;
};

Status run(Options& options) {
  std::optional<Progress> progress;
  options.convert.progress = [&](std::int64_t, std::int64_t total) {
    if (!progress) progress.emplace("converting", total, "tensors");
    progress->advance();
  };
  Summary summary;
  options.convert.tensor = [&](const ConvertedTensor& tensor) { summary.add(tensor); };
  TACK_RETURN_IF_ERROR(convert_model(options.from, options.to, options.convert));
  if (progress) progress->finish();
  std::error_code error;
  fmt::print("{}: {:.1f} MB, {}\n", options.to,
             static_cast<double>(std::filesystem::file_size(options.to, error)) / 1e6,
             options.convert.type);
  summary.print();
  return {};
}

}  // namespace

Verb make_convert(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("convert", "Convert a model to one GGUF file");
  verb.option("from", options->from, "Hugging Face directory, or a GGUF file").required();
  verb.option("to", options->to, "The GGUF file to write").required();
  verb.option("--type", options->convert.type,
              "f32, f16, bf16, int8 (of encoders), q8_0, q4_0, q4_1, q5_0, q5_1, q2_k, q3_k, q4_k, "
              "q5_k, q6_k, "
              "iq4_nl or iq4_xs")
      .show_default();
  verb.option("--name", options->convert.name, "Name stored in the file");
  verb.option("--licence,--license", options->convert.licence, "Licence stored in the file");
  add_threads_option(verb, options->convert.threads);
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
