// `tack heal`: a quantized decoder learns what the model it was made from says.

#include <cmath>

#include "base/cpu.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "eval/documents.h"
#include "tasks/build_steps.h"
#include "tasks/heal.h"

namespace tack {
namespace {

struct Options {
  std::string model, teacher, data, validation, out, codes = "frozen";
  double held_out = 0.1;
  HealSettings settings;
  double checkpoint_seconds = 60;
  int threads = 0;
  bool json = false;
};

// The texts to learn from and those to measure on.
Result<std::pair<Dataset, Dataset>> read_texts(const Options& options) {
  TACK_TRY(Dataset all, read_documents(std::span(&options.data, 1)));
  if (!options.validation.empty()) {
    TACK_TRY(Dataset validation, read_documents(std::span(&options.validation, 1)));
    return std::pair{std::move(all), std::move(validation)};
  }
  const Split split = split_by_content(all, options.held_out, options.settings.seed);
  if (split.first.empty())
    return fail(ErrorCode::kUsage,
                "{}: of {} document{} none is left to learn from once some are held out; give "
                "--validation, or more documents (blank lines or {} end one)",
                options.data, all.size(), all.size() == 1 ? "" : "s", kEndOfText);
  return std::pair{all.subset(split.first), all.subset(split.second)};
}

Status print(const Options& options, const Healed& healed) {
  const TrainingResult& training = healed.training;
  const double gain = 1 - healed.after / healed.before;
  if (options.json)
    return print_line(to_text({{"model", options.out},
                               {"before", healed.before},
                               {"after", healed.after},
                               {"steps", training.steps},
                               {"tokens", training.tokens},
                               {"parameters", healed.trained_parameters},
                               {"tensors", healed.tensors},
                               {"best_validation", training.best_epoch},
                               {"bytes", healed.model->file_bytes()},
                               {"seconds", training.seconds}},
                              2));
  fmt::print("healed {} tensors with {} trained numbers in {} steps, {:.1f} s\n", healed.tensors,
             healed.trained_parameters, training.steps, training.seconds);
  fmt::print("divergence from {} on held-out text: {:.5f} nats per token before, {:.5f} after",
             options.teacher, healed.before, healed.after);
  if (training.best_epoch == 0)
    fmt::print(": no step made it better, the weights stay as they were\n");
  else
    fmt::print(" ({:.1f} % less)\n", 100 * gain);
  fmt::print("wrote {} ({:.1f} MB)\n", options.out,
             static_cast<double>(healed.model->file_bytes()) / 1e6);
  return {};
}

Status run(Options& options) {
  options.settings.codes = options.codes == "learned";
  TACK_TRY(const auto model_path, resolve_model(options.model));
  TACK_TRY(const auto teacher_path, resolve_model(options.teacher));
  TACK_TRY(const auto model, Model::open(model_path));
  TACK_TRY(const auto teacher, Model::open(teacher_path));
  TACK_TRY(const auto texts, read_texts(options));
  if (!options.json)
    fmt::print("data: {} documents to learn from, {} to measure on\n", texts.first.size(),
               texts.second.size());
  std::fflush(stdout);
  TACK_TRY(const Healed healed,
           heal(model, teacher, texts.first, texts.second, options.settings, options.out,
                {.threads = options.threads > 0 ? options.threads : cpu_info().logical_cores,
                 .checkpoint = options.out + ".checkpoint",
                 .checkpoint_seconds = options.checkpoint_seconds,
                 .command = fmt::format("tack heal {} --teacher {} --data {}", options.model,
                                        options.teacher, options.data)}));
  forget_checkpoint(options.out);
  return print(options, healed);
}

}  // namespace

Verb make_heal(Command& root) {
  auto options = std::make_shared<Options>();
  HealSettings& settings = options->settings;
  Command verb = root.add_verb("heal", "Bring a quantized decoder closer to what it was made from");
  verb.option("model", options->model, "The quantized model: any GGUF with blocks").required();
  verb.option("--teacher", options->teacher, "The model it was made from").required();
  verb.option("--data", options->data, "Text: documents, ended by blank lines or <|endoftext|>")
      .required();
  verb.option("--validation", options->validation, "Text to measure on; default: a part of --data");
  verb.option("--held-out", options->held_out, "That part").range(0.01, 0.5).show_default();
  verb.option("--out,-o", options->out, "The model to write").required();
  verb.option("--codes", options->codes, "frozen: scales and offsets are learned; or learned")
      .one_of({"frozen", "learned"})
      .show_default();
  verb.option("--steps", settings.steps, "").range(1, 1000000).show_default();
  verb.option("--batch-tokens", settings.batch_tokens, "Of a step, about")
      .range(1, 1 << 24)
      .show_default();
  verb.option("--length", settings.length, "Most tokens of a piece of text; default: 512")
      .range(0, 1 << 20);
  verb.option("--rate", settings.rate, "Of scales and offsets, as a share of them")
      .range(1e-8, 1.0)
      .show_default();
  verb.option("--code-rate", settings.code_rate,
              "With learned codes: times the rate, in steps from code to code")
      .range(0.0, 1e6)
      .show_default();
  verb.option("--hidden", settings.hidden, "Weight of the distance of hidden layers")
      .range(0.0, 1e6)
      .show_default();
  verb.option("--seed", settings.seed, "").show_default();
  verb.option("--checkpoint-seconds", options->checkpoint_seconds, "Between checkpoints")
      .range(0.0, 1e6)
      .show_default();
  add_threads_option(verb, options->threads);
  verb.flag("--json", options->json, "Print the result as JSON");
  verb.footer("Example: tack heal m.q4_0.gguf --teacher m.gguf --data text.txt -o healed.gguf");
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
