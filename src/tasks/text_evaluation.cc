#include "tasks/text_evaluation.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>
#include <numeric>

#include "base/interrupt.h"
#include "engine/decoder.h"
#include "eval/language_metrics.h"
#include "tasks/evaluate.h"
#include "tasks/text_pieces.h"

namespace tack {
namespace {

constexpr std::int64_t kLongest = 2048;  // tokens, where nothing else is known

void add_estimates(TextEvaluation& out) {
  const auto ratio = [&](std::span<const std::int64_t> rows, const auto& of) {
    double loss = 0, count = 0;
    for (const std::int64_t row : rows) {
      const auto r = static_cast<std::size_t>(row);
      loss += out.losses[r];
      count += static_cast<double>(of[r]);
    }
    return loss / std::max(count, 1.0);
  };
  const auto documents = static_cast<std::int64_t>(out.losses.size());
  out.perplexity = bootstrap(documents, {}, [&](std::span<const std::int64_t> rows) {
    return std::exp(ratio(rows, out.tokens));
  });
  out.bits_per_byte = bootstrap(documents, {}, [&](std::span<const std::int64_t> rows) {
    return ratio(rows, out.bytes) / std::numbers::ln2;
  });
}

}  // namespace

std::int64_t TextEvaluation::all_tokens() const {
  return std::accumulate(tokens.begin(), tokens.end(), std::int64_t{0});
}
std::int64_t TextEvaluation::all_bytes() const {
  return std::accumulate(bytes.begin(), bytes.end(), std::int64_t{0});
}

Json TextEvaluation::to_json() const {
  return {{"documents", losses.size()},
          {"tokens", all_tokens()},
          {"bytes", all_bytes()},
          {"length", length},
          {"perplexity", interval(perplexity)},
          {"bits_per_byte", interval(bits_per_byte)},
          {"tokens_per_second", tokens_per_second}};
}

std::int64_t default_length(const Model& model) {
  const std::int64_t most = std::min<std::int64_t>(model.context_length(), kLongest);
  const Json* task = model.tack_metadata("task");
  if (task == nullptr || !task->is_object() || !task->contains("train")) return most;
  const Json& train = (*task)["train"];
  if (!train.is_object() || !train.contains("length") || !train["length"].is_number_integer())
    return most;
  return std::clamp<std::int64_t>(train["length"].get<std::int64_t>(), 1, model.context_length());
}

Result<TextEvaluation> evaluate_texts(const std::shared_ptr<const Model>& model,
                                      const Dataset& documents,
                                      const TextEvaluationOptions& options) {
  if (!model->generates())
    return fail(ErrorCode::kUsage, "{}: is no decoder, so it has no perplexity",
                model->path().string());
  TextEvaluation out;
  out.length = options.length > 0 ? options.length : default_length(*model);
  if (out.length > model->context_length())
    return fail(ErrorCode::kUsage, "{}: pieces of {} tokens are longer than its context of {}",
                model->path().string(), out.length, model->context_length());
  const TextPieces pieces(*model, documents, out.length);
  if (pieces.size() == 0) return fail("{}: no token to predict in it", documents.name);
  // Logits of a call: at most 16 MB, however large the vocabulary.
  const std::int64_t batch = std::clamp<std::int64_t>((1 << 22) / model->vocab_size(), 16, 512);
  TACK_TRY(const auto decoder, Decoder::create(model, {.threads = options.threads,
                                                       .context = pieces.longest(),
                                                       .sequences = 1,
                                                       .batch = batch}));
  out.losses.assign(documents.size(), 0);
  out.tokens.assign(documents.size(), 0);
  for (const std::string& text : documents.texts)
    out.bytes.push_back(static_cast<std::int64_t>(text.size()));
  const auto vocab = static_cast<std::size_t>(decoder->vocab_size());
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t p = 0; p < pieces.size(); ++p) {
    if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
    const auto inputs = pieces.inputs(p), targets = pieces.targets(p);
    const std::size_t document = pieces.document(p);
    decoder->rewind(0, 0);
    // Without a token that begins a text, its first is not predicted: it costs no bits.
    if (p == 0 || pieces.document(p - 1) != document)
      out.bytes[document] = std::max<std::int64_t>(
          out.bytes[document] -
              static_cast<std::int64_t>(model->tokenizer().token_bytes(inputs[0]).size()),
          0);
    for (std::size_t at = 0; at < inputs.size(); at += static_cast<std::size_t>(batch)) {
      const std::size_t count = std::min(static_cast<std::size_t>(batch), inputs.size() - at);
      const DecoderPart part{0, inputs.subspan(at, count), DecoderPart::Logits::kAll};
      TACK_TRY(const auto logits, decoder->run({&part, 1}));
      for (std::size_t i = 0; i < count; ++i)
        out.losses[document] += surprise(logits.subspan(i * vocab, vocab), targets[at + i]);
    }
    if (!std::isfinite(out.losses[document]))
      return fail("{}: the model's logits are not numbers", model->path().string());
    out.tokens[document] += static_cast<std::int64_t>(inputs.size());
    if (options.progress) options.progress(static_cast<std::int64_t>(inputs.size()));
  }
  out.tokens_per_second =
      static_cast<double>(pieces.predictions()) /
      std::max(1e-9,
               std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  add_estimates(out);
  return out;
}

}  // namespace tack
