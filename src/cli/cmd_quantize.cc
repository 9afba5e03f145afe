// `tack quantize`: a model's weights in types of blocks, one for all or mixed under a budget.

#include <filesystem>

#include "base/atomic_file.h"
#include "base/progress.h"
#include "base/size.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "compress/quantize.h"
#include "models/model.h"

namespace tack {
namespace {

struct Options {
  std::string model, out, budget, method = "importance", imatrix, save_imatrix, data;
  QuantizeOptions quantize;
  bool json = false;
};

// One bar a step.
class Steps {
 public:
  void show(const char* step, std::int64_t done, std::int64_t total) {
    if (step_ != step) {
      finish();
      step_ = step;
      bar_.emplace(step, total, step_ == "calibrating" ? "tokens" : "tensors");
      done_ = 0;
    }
    bar_->advance(done - done_);
    done_ = done;
  }
  void finish() {
    if (bar_) bar_->finish();
    bar_.reset();
    step_.clear();
  }

 private:
  std::string step_;
  std::optional<Progress> bar_;
  std::int64_t done_ = 0;
};

Status run(Options& options) {
  TACK_TRY(const auto from, resolve_model(options.model));
  QuantizeOptions& quantize = options.quantize;
  TACK_TRY(quantize.method, parse_quantize_method(options.method));
  if (!options.budget.empty()) {
    TACK_TRY(quantize.budget, parse_size(options.budget));
  }
  if (options.out.empty() && !quantize.dry_run)
    return fail(ErrorCode::kUsage, "name the file to write: -o FILE");
  quantize.imatrix = options.imatrix;
  quantize.save_imatrix = options.save_imatrix;
  if (!options.data.empty()) {
    TACK_TRY(quantize.text, read_file(options.data));
    quantize.text_name = options.data;
  }
  quantize.command = "tack quantize" + (quantize.type.empty() ? "" : " --type " + quantize.type) +
                     (options.budget.empty() ? "" : " --budget " + options.budget) +
                     (quantize.bits > 0 ? fmt::format(" --bits {}", quantize.bits) : "");
  Steps steps;
  quantize.message = [&](const std::string& line) {
    steps.finish();
    fmt::print(options.json ? stderr : stdout, "{}\n", line);
    std::fflush(stdout);
  };
  quantize.progress = [&](const char* step, std::int64_t done, std::int64_t total) {
    steps.show(step, done, total);
  };
  TACK_TRY(const QuantizeReport report, quantize_model(from, options.out, quantize));
  steps.finish();
  if (options.json) return print_line(to_text(report.to_json(), 2));
  fmt::print("{}", report.to_text());
  if (report.written) fmt::print("wrote {} in {:.1f} s\n", options.out, report.seconds);
  return {};
}

}  // namespace

Verb make_quantize(Command& root) {
  auto options = std::make_shared<Options>();
  QuantizeOptions& quantize = options->quantize;
  Command verb = root.add_verb("quantize", "Make a model smaller: its weights in fewer bits");
  add_model_option(verb, options->model, "GGUF file or Hugging Face directory").required();
  verb.option("--out,-o", options->out, "The GGUF file to write");
  verb.option("--type", quantize.type, "One type for all: q4_k, q4_0, ... (as tack convert)");
  verb.option("--budget", options->budget, "Bytes of the file, with mixed types: 4.2MB");
  verb.option("--bits", quantize.bits, "The same as bits for each weight: 4.5").positive();
  verb.option("--method", options->method, "rtn, importance or gptq").show_default();
  verb.option("--data", options->data, "Plain text to calibrate on; of an encoder a text a line");
  verb.option("--imatrix", options->imatrix,
              "Importance matrix (of llama-imatrix, or --save-imatrix) instead of a calibration");
  verb.option("--save-imatrix", options->save_imatrix, "Write the importance matrix");
  verb.option("--chunk", quantize.chunk, "Tokens of the text that are read together")
      .range(8, 1 << 20)
      .show_default();
  verb.option("--tokens", quantize.tokens,
              "Tokens of the text that are read; default: as many as the size of the model allows")
      .not_negative();
  verb.flag("--dry-run", quantize.dry_run, "Say what the file would be, and write nothing");
  verb.flag("--requantize", quantize.requantize, "Take a model that is quantised already");
  verb.flag("--json", options->json, "Print the result as JSON");
  add_threads_option(verb, quantize.threads);
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
