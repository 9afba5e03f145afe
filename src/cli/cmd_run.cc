// `tack run`: text from a decoder: one answer, or a conversation in the terminal.

#include <cstdio>
#include <random>

#include <unistd.h>

#include "base/atomic_file.h"
#include "base/json.h"
#include "cli/chat_session.h"
#include "cli/kv_option.h"
#include "cli/lines.h"
#include "cli/verb.h"

namespace tack {
namespace {

constexpr std::size_t kMaxPrompt = std::size_t{64} << 20, kMaxSchema = 1 << 20;

struct Options {
  std::string model, prompt, system, schema, kv;
  std::vector<std::string> stops, choices;
  SamplingOptions sampling{.temperature = 0.8, .top_k = 40, .top_p = 0.95, .min_p = 0.05};
  std::int64_t max_tokens = -1, context = 0, seed = -1;
  int threads = 0;
  bool raw = false, json = false, stats = false;
};

Result<OutputForm> form_of(const Options& options) {
  OutputForm form;
  if (!options.schema.empty()) {
    TACK_TRY(const std::string text, read_file(options.schema, kMaxSchema));
    TACK_TRY(form.schema, parse_json(text, options.schema));
    form.kind = OutputForm::Kind::kSchema;
  }
  if (options.choices.empty()) return form;
  if (!options.schema.empty())
    return fail(ErrorCode::kUsage, "give --json-schema or --choice, not both");
  return OutputForm{.kind = OutputForm::Kind::kChoices, .schema = {}, .choices = options.choices};
}

Result<std::string> read_prompt(const Options& options) {
  if (!options.prompt.empty() && options.prompt != "-") return options.prompt;
  TACK_TRY(std::string text, read_standard_input("prompt", kMaxPrompt));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  if (text.empty()) return fail(ErrorCode::kUsage, "standard input: the prompt is empty");
  return text;
}

Status answer(const Options& options, Generator& generator, const ChatFormat& format, bool raw,
              const GenerationSettings& settings) {
  TACK_TRY(const std::string text, read_prompt(options));
  std::vector<TokenId> prompt;
  if (raw) {
    prompt = text_prompt(generator.model(), text);
  } else {
    std::vector<chat::Message> messages;
    if (!options.system.empty()) messages.push_back({.role = "system", .content = options.system});
    messages.push_back({.role = "user", .content = text});
    TACK_TRY(prompt, format.prompt(messages));
  }
  TACK_TRY(const Written written,
           write_answer(generator, std::move(prompt), settings, [&](std::string_view piece) {
             if (options.json) return Status{};
             return print_text(piece);
           }));
  if (options.json)
    TACK_RETURN_IF_ERROR(
        print_line(to_text(Json{{"text", written.text},
                                {"finish_reason", finish_reason_name(written.end.reason)},
                                {"prompt_tokens", written.end.prompt_tokens},
                                {"output_tokens", written.end.output_tokens},
                                {"prompt_seconds", written.prompt_seconds},
                                {"output_seconds", written.output_seconds}})));
  else
    TACK_RETURN_IF_ERROR(print_line(""));
  if (options.stats) fmt::print(stderr, "{}\n", describe(written));
  if (written.interrupted) return fail(ErrorCode::kInterrupted, "interrupted");
  if (written.end.reason == FinishReason::kLength && settings.max_tokens < 0)
    fmt::print(stderr, "the answer ends where the context of {} tokens is full (--context)\n",
               generator.context());
  return {};
}

Status run(const Options& options) {
  if (options.model.empty())
    return fail(ErrorCode::kUsage,
                "no model: give a .gguf file of a Llama, Gemma 3 or Ministral 3 (from a hub, or "
                "made with tack convert HF_DIR m.gguf), as in: tack run m.gguf \"prompt\"");
  TACK_TRY(const auto path, resolve_model(options.model));
  TACK_TRY(const auto model, Model::open(path));
  GenerationSettings settings{.max_tokens = options.max_tokens,
                              .sampling = options.sampling,
                              .stops = options.stops,
                              .form = {}};
  settings.sampling.seed =
      options.seed >= 0 ? static_cast<std::uint64_t>(options.seed) : std::random_device{}();
  TACK_TRY(settings.form, form_of(options));
  TACK_TRY(const auto generator,
           Generator::create(model, {.decoder = {.threads = options.threads,
                                                 .context = options.context,
                                                 .kv = kv_type(options.kv)}}));
  TACK_TRY(const ChatFormat format, ChatFormat::of(*model));
  const bool talks = options.prompt.empty() && isatty(STDIN_FILENO) == 1;
  const bool raw = options.raw || (!format.made_for_chat() && !talks);
  if (raw && !options.system.empty())
    return fail(ErrorCode::kUsage, "--system: {} continues a text, it is given no conversation",
                model->name());
  if (!talks) return answer(options, *generator, format, raw, settings);
  if (options.raw || options.json)
    return fail(ErrorCode::kUsage, "no prompt: give one, or pipe it in");
  if (!format.made_for_chat())
    fmt::print(stderr, "{} has no chat template and was not made for conversations\n",
               model->name());
  return converse(*generator, format, std::move(settings), options.system);
}

}  // namespace

Verb make_run(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("run", "Write text with a decoder, or talk to it");
  add_model_option(verb, options->model, "Decoder (path or name)");
  verb.option("prompt", options->prompt,
              "What to say, in quotes; none: a conversation in the terminal, or standard input");
  verb.option("--system", options->system, "The system message");
  verb.flag("--raw", options->raw, "The prompt is text to continue, no turn of a conversation");
  verb.option("--max-tokens,-n", options->max_tokens, "Longest answer, in tokens; -1: no limit")
      .range(-1, 1 << 30)
      .show_default();
  verb.option("--temperature", options->sampling.temperature, "0 takes the best token each time")
      .show_default();
  verb.option("--top-k", options->sampling.top_k, "Of the k best tokens; 0: of all").show_default();
  verb.option("--top-p", options->sampling.top_p, "Of the best that hold this share")
      .show_default();
  verb.option("--min-p", options->sampling.min_p, "Of those at least this likely beside the best")
      .show_default();
  verb.option("--repetition-penalty", options->sampling.repetition_penalty, "1: none")
      .show_default();
  verb.option("--presence-penalty", options->sampling.presence_penalty, "0: none").show_default();
  verb.option("--frequency-penalty", options->sampling.frequency_penalty, "0: none").show_default();
  verb.option("--seed", options->seed, "The same seed gives the same answer; -1: another each time")
      .range(-1, 1 << 30)
      .show_default();
  verb.option("--stop", options->stops, "Ends the answer before this text; may be repeated")
      .one_at_a_time();
  verb.option("--json-schema", options->schema, "The answer is JSON of this schema (a file)");
  verb.option("--choice", options->choices, "The answer is one of these; may be repeated")
      .one_at_a_time();
  verb.option("--context", options->context,
              "Tokens of prompt and answer together; 0: the model's, at most 8192")
      .range(0, 1 << 30);
  add_kv_option(verb, options->kv);
  add_threads_option(verb, options->threads);
  verb.flag("--stats", options->stats, "Says how fast it was, on standard error");
  verb.flag("--json", options->json, "The answer as a JSON object");
  verb.footer("Example: tack run llama-3.2-1b.gguf \"Name three rivers.\" --max-tokens 60");
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
