// `tack bench`: how fast a model runs here.

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

#include "base/cpu.h"
#include "base/json.h"
#include "base/random.h"
#include "cli/kv_option.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "engine/decoder.h"
#include "engine/text_encoder.h"
#include "eval/rows.h"
#include "kernels/kernels.h"
#include "tasks/evaluate.h"

namespace tack {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string model, data, text = "text", kv;
  std::vector<std::int64_t> tokens = {12, 128};
  std::int64_t sequences = 64;
  std::int64_t prefill = 512, decode = 128, parallel = 1;
  int threads = 0, rounds = 0;
  bool json = false, exact = false;
};
constexpr int kEncoderRounds = 50, kDecoderRounds = 5;

struct Shape {
  std::string name;
  std::vector<Tokens> inputs;  // of the throughput run; single latencies take them in turn
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<Tokens> random_inputs(const Model& model, std::int64_t tokens, std::int64_t count) {
  Random random(1);
  std::vector<Tokens> inputs(static_cast<std::size_t>(count));
  for (Tokens& input : inputs)
    for (std::int64_t t = 0; t < tokens; ++t)
      input.ids.push_back(
          static_cast<TokenId>(random.below(static_cast<std::uint64_t>(model.vocab_size()))));
  return inputs;
}

Result<std::vector<Shape>> make_shapes(const Model& model, const Options& options) {
  std::vector<Shape> shapes;
  for (std::int64_t tokens : options.tokens) {
    if (tokens < 1 || tokens > model.context_length())
      return fail(ErrorCode::kUsage, "--tokens {} is not in 1..{}", tokens, model.context_length());
    shapes.push_back(
        {fmt::format("{} tokens", tokens), random_inputs(model, tokens, options.sequences)});
  }
  if (options.data.empty()) return shapes;
  TACK_TRY(auto rows, RowReader::open(options.data, {options.text}));
  Shape real{options.data, {}};
  std::vector<std::string> fields;
  for (;;) {
    TACK_TRY(const bool any, rows->next(fields));
    if (!any) break;
    real.inputs.push_back(model.tokenizer().encode(fields[0], model.context_length()));
  }
  if (real.inputs.empty()) return fail("{}: there are no rows", options.data);
  shapes.push_back(std::move(real));
  return shapes;
}

// Multiplications of one token through the linear layers (attention and pooling left out).
double macs_per_token(const Model& model) {
  double macs = 0;
  for (const graph::Node& node : model.graph().nodes())
    if (const auto* op = std::get_if<graph::Linear>(&node.op);
        op != nullptr && model.graph().value(node.output).rows == graph::Rows::kTokens)
      macs += static_cast<double>(element_count(model.graph().weight(op->weight).shape));
  return macs;
}

Result<Json> measure(TextEncoder& encoder, const Shape& shape, int rounds) {
  constexpr std::array<std::string_view, 1> kOutputs = {"embedding"};
  const double per_token = macs_per_token(encoder.model());
  std::vector<float> latency_us;
  const std::size_t singles = std::max<std::size_t>(static_cast<std::size_t>(rounds), 20);
  for (std::size_t i = 0; i < singles + 10; ++i) {
    const auto start = Clock::now();
    TACK_RETURN_IF_ERROR(encoder.run_tokens({&shape.inputs[i % shape.inputs.size()], 1}, kOutputs));
    if (i >= 10) latency_us.push_back(static_cast<float>(seconds_since(start) * 1e6));
  }
  std::ranges::sort(latency_us);
  double tokens = 0;
  for (const Tokens& input : shape.inputs) tokens += static_cast<double>(input.ids.size());
  // The median of several passes; short ones are repeated to last about 50 ms.
  std::vector<double> rates;
  const int passes = std::max(3, rounds / 10);
  for (int pass = 0; pass < passes; ++pass) {
    int repeats = 0;
    const auto start = Clock::now();
    do {
      TACK_RETURN_IF_ERROR(encoder.run_tokens(shape.inputs, kOutputs));
      ++repeats;
    } while (seconds_since(start) < 0.05);
    rates.push_back(static_cast<double>(shape.inputs.size()) * repeats / seconds_since(start));
  }
  std::ranges::sort(rates);
  const double rate = rates[rates.size() / 2];
  const double mean_tokens = tokens / static_cast<double>(shape.inputs.size());
  return Json{{"shape", shape.name},
              {"mean_tokens", mean_tokens},
              {"latency_us", percentile(latency_us, 0.5)},
              {"latency_p99_us", percentile(latency_us, 0.99)},
              {"sequences_per_s", rate},
              {"tokens_per_s", rate * mean_tokens},
              {"gops", 2e-9 * per_token * rate * mean_tokens}};
}

// Tokens per second: a prompt at once, and one token after another behind it, of all sequences.
struct DecoderRates {
  double prefill = 0, decode = 0;
};

Result<DecoderRates> decoder_round(Decoder& decoder, const std::vector<TokenId>& ids,
                                   const Options& options) {
  const std::span<const TokenId> all(ids);
  const auto prompt = static_cast<std::size_t>(options.prefill);
  std::vector<DecoderPart> parts;
  const auto run = [&]() -> Status {
    TACK_TRY(const auto logits, decoder.run(parts));
    if (!logits.empty() && std::isnan(logits[0])) return fail("the model's logits are not numbers");
    return {};
  };
  DecoderRates rates;
  decoder.rewind(0, 0);
  const auto begin = Clock::now();
  const auto piece = static_cast<std::size_t>(decoder.batch());
  for (std::size_t i = 0; i < prompt; i += piece) {
    parts = {{0, all.subspan(i, std::min(piece, prompt - i)),
              i + piece < prompt ? DecoderPart::Logits::kNone : DecoderPart::Logits::kLast}};
    TACK_RETURN_IF_ERROR(run());
  }
  rates.prefill = static_cast<double>(prompt) / seconds_since(begin);
  for (std::int64_t sequence = 1; sequence < options.parallel; ++sequence)
    if (!decoder.copy(0, sequence, options.prefill)) return fail("the prompt cannot be copied");
  const auto start = Clock::now();
  for (std::size_t i = prompt; i < ids.size(); ++i) {
    parts.clear();
    for (std::int64_t sequence = 0; sequence < options.parallel; ++sequence)
      parts.push_back({sequence, all.subspan(i, 1)});
    TACK_RETURN_IF_ERROR(run());
  }
  rates.decode = static_cast<double>(options.decode * options.parallel) / seconds_since(start);
  return rates;
}

Status run_decoder(const Options& options, const std::shared_ptr<const Model>& model) {
  const std::int64_t context = options.prefill + options.decode;
  if (options.prefill < 1 || options.decode < 1 || context > model->context_length())
    return fail(ErrorCode::kUsage, "--prefill {} and --decode {} do not fit a context of {} tokens",
                options.prefill, options.decode, model->context_length());
  TACK_TRY(const auto decoder, Decoder::create(model, {.threads = options.threads,
                                                       .context = context,
                                                       .sequences = options.parallel,
                                                       .kv = kv_type(options.kv),
                                                       .exact = options.exact}));
  Random random(1);
  std::vector<TokenId> ids(static_cast<std::size_t>(context));
  for (TokenId& id : ids)
    id = static_cast<TokenId>(random.below(static_cast<std::uint64_t>(decoder->vocab_size())));
  std::vector<float> prefill, decode;
  const int rounds = options.rounds > 0 ? options.rounds : kDecoderRounds;
  for (int round = 0; round < rounds; ++round) {
    TACK_TRY(const DecoderRates rates, decoder_round(*decoder, ids, options));
    prefill.push_back(static_cast<float>(rates.prefill));
    decode.push_back(static_cast<float>(rates.decode));
  }
  const auto median = [](std::vector<float>& values) {
    std::ranges::sort(values);
    return percentile(values, 0.5);
  };
  const double prefill_tps = median(prefill), decode_tps = median(decode);
  const std::string isa(isa_name(kernels::kernels().isa));
  if (options.json)
    return print_line(to_text(Json{{"model", model->name()},
                                   {"threads", decoder->threads()},
                                   {"isa", isa},
                                   {"prefill", options.prefill},
                                   {"decode", options.decode},
                                   {"parallel", options.parallel},
                                   {"prefill_tps", prefill_tps},
                                   {"decode_tps", decode_tps}},
                              2));
  fmt::print(
      "{}, {} threads, {}\nprefill {:<6} {:>10.1f} tokens/s\ndecode {:<7} {:>10.1f} tokens/s\n",
      model->name(), decoder->threads(), isa, options.prefill, prefill_tps, options.decode,
      decode_tps);
  return {};
}

Status run(const Options& options) {
  TACK_TRY(const auto path, resolve_model(options.model));
  TACK_TRY(const auto model, Model::open(path, Model::Use::kWeights));
  if (model->generates()) return run_decoder(options, model);
  const int rounds = options.rounds > 0 ? options.rounds : kEncoderRounds;
  TACK_TRY(auto encoder,
           TextEncoder::create(model, {.threads = options.threads, .outputs = {"embedding"}}));
  TACK_TRY(const auto shapes, make_shapes(*model, options));
  const std::string isa(isa_name(kernels::kernels().isa));
  Json json = {{"model", model->name()}, {"threads", encoder->threads()}, {"isa", isa}};
  if (!options.json)
    fmt::print("{}, {} threads, {}\n{:<24} {:>9} {:>9} {:>12} {:>12} {:>8}\n", model->name(),
               encoder->threads(), isa, "shape", "p50 us", "p99 us", "sequences/s", "tokens/s",
               "GOP/s");
  for (const Shape& shape : shapes) {
    TACK_TRY(const Json result, measure(*encoder, shape, rounds));
    if (json.find("latency_us") == json.end()) {
      json["latency_us"] = result["latency_us"];
      json["sequences_per_s"] = result["sequences_per_s"];
    }
    json["shapes"].push_back(result);
    if (!options.json)
      fmt::print("{:<24} {:>9.0f} {:>9.0f} {:>12.0f} {:>12.0f} {:>8.0f}\n",
                 std::filesystem::path(shape.name).filename().string(),
                 result["latency_us"].get<double>(), result["latency_p99_us"].get<double>(),
                 result["sequences_per_s"].get<double>(), result["tokens_per_s"].get<double>(),
                 result["gops"].get<double>());
  }
  return options.json ? print_line(to_text(json, 2)) : Status{};
}

}  // namespace

Verb make_bench(Command& root) {
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("bench", "Measure the speed of a model");
  add_model_option(verb, options->model, "Model (path or name); default: the default encoder");
  add_threads_option(verb, options->threads);
  verb.option("--tokens", options->tokens, "Lengths to measure, with random tokens")
      .delimiter(',')
      .show_default();
  verb.option("--sequences", options->sequences, "Texts in a throughput pass")
      .range(1, 100000)
      .show_default();
  verb.option("--data", options->data, "Also measure the texts of this file");
  verb.option("--text", options->text, "Column of the text").show_default();
  verb.option("--prefill", options->prefill, "Of a decoder: tokens of the prompt").show_default();
  verb.option("--decode", options->decode, "Of a decoder: tokens that follow one by one")
      .show_default();
  verb.option("--parallel", options->parallel,
              "Of a decoder: sequences that each get a token in every call; the rate is of all")
      .range(1, 256)
      .show_default();
  add_kv_option(verb, options->kv);
  verb.flag("--exact", options->exact, "Of a decoder: weights in blocks are widened to f32");
  verb.option("--rounds", options->rounds,
              "Single texts per shape (default 50); of a decoder, prompts (default 5)")
      .range(1, 100000);
  verb.flag("--json", options->json, "Print the result as JSON");
  return {verb, [options] { return run(*options); }};
}

}  // namespace tack
