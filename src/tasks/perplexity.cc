#include "tasks/perplexity.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "base/interrupt.h"
#include "engine/decoder.h"

namespace tack {
namespace {

constexpr std::int64_t kUsualContext = 512;
constexpr std::int64_t kPiece = 64;  // tokens whose logits are held at once

// The ids of the text without an end, and of a beginning only what stands before everything.
std::vector<TokenId> ids_of(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<TokenId> ids = tokenizer.encode(text).ids;
  const SpecialTokens& special = tokenizer.special();
  if (special.add_eos && special.eos && !ids.empty() && ids.back() == *special.eos) ids.pop_back();
  return ids;
}

class Measurement {
 public:
  Measurement(const Model& model, const PerplexityOptions& options)
      : model_(model), options_(options) {}

  Status prepare(std::optional<std::string_view> text) {
    if (!options_.against.empty()) {
      TACK_TRY(base_, LogProbsFile::open(options_.against));
    }
    TACK_RETURN_IF_ERROR(choose_shape());
    if (!text && base_) {
      ids_ = base_->tokens();
      shape_.chunks = base_->shape().chunks;
    } else {
      ids_ = ids_of(model_.tokenizer(), text.value_or(""));
      shape_.chunks = static_cast<std::int64_t>(ids_.size()) / shape_.context;
      if (shape_.chunks == 0)
        return fail(ErrorCode::kUsage,
                    "the text has {} tokens, fewer than a chunk of {}: take a longer one, or a "
                    "smaller --context",
                    ids_.size(), shape_.context);
      TACK_RETURN_IF_ERROR(check_same_text());
    }
    if (options_.chunks > 0) shape_.chunks = std::min(shape_.chunks, options_.chunks);
    ids_.resize(static_cast<std::size_t>(shape_.chunks * shape_.context));
    return {};
  }

  Result<PerplexityResult> run(Decoder& decoder) {
    std::optional<LogProbsWriter> writer;
    if (!options_.save.empty()) {
      TACK_TRY(auto made, LogProbsWriter::create(options_.save, shape_, ids_));
      writer.emplace(std::move(made));
    }
    for (std::int64_t chunk = 0; chunk < shape_.chunks; ++chunk) {
      if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
      TACK_RETURN_IF_ERROR(run_chunk(decoder, chunk, writer ? &*writer : nullptr));
      if (options_.progress) options_.progress(chunk + 1, shape_.chunks);
    }
    if (writer) TACK_RETURN_IF_ERROR(writer->commit());
    return PerplexityResult{shape_, meter_.metrics()};
  }

  std::int64_t context() const { return shape_.context; }

 private:
  Status choose_shape() {
    shape_.vocabulary = model_.vocab_size();
    shape_.context = options_.context;
    if (base_) {
      const LogProbsShape& base = base_->shape();
      if (base.vocabulary != shape_.vocabulary)
        return fail(ErrorCode::kUsage, "{}: a vocabulary of {}, the model has {}", options_.against,
                    base.vocabulary, shape_.vocabulary);
      if (shape_.context != 0 && shape_.context != base.context)
        return fail(ErrorCode::kUsage, "{}: chunks of {} tokens, not of --context {}",
                    options_.against, base.context, shape_.context);
      shape_.context = base.context;
    }
    if (shape_.context == 0) shape_.context = std::min(kUsualContext, model_.context_length());
    if (shape_.context < 4 || shape_.context > model_.context_length())
      return fail(ErrorCode::kUsage, "chunks of {} tokens: the model takes 4 to {}", shape_.context,
                  model_.context_length());
    return {};
  }

  // A base of a part of the text will do for that part.
  Status check_same_text() {
    if (!base_) return {};
    const auto& tokens = base_->tokens();
    const std::size_t both = std::min(tokens.size(), ids_.size());
    if (!std::equal(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(both),
                    ids_.begin()))
      return fail(ErrorCode::kUsage, "{}: made from another text or by another tokenizer",
                  options_.against);
    shape_.chunks = std::min(shape_.chunks, base_->shape().chunks);
    return {};
  }

  Status run_chunk(Decoder& decoder, std::int64_t chunk, LogProbsWriter* writer) {
    const auto begin = ids_.begin() + chunk * shape_.context;
    std::vector<TokenId> ids(begin, begin + shape_.context);
    const SpecialTokens& special = model_.tokenizer().special();
    if (special.add_bos && special.bos) ids[0] = *special.bos;
    decoder.rewind(0, 0);
    const std::span<const TokenId> all(ids);
    const auto part = [&](std::int64_t from, std::int64_t to) {
      return all.subspan(static_cast<std::size_t>(from), static_cast<std::size_t>(to - from));
    };
    const std::int64_t last = shape_.context - 1;  // is predicted only
    for (std::int64_t at = 0, end = 0; at < last; at = end) {
      const bool counts = at >= shape_.first();
      end = std::min(at + (counts ? kPiece : decoder.batch()), counts ? last : shape_.first());
      const DecoderPart piece{0, part(at, end),
                              counts ? DecoderPart::Logits::kAll : DecoderPart::Logits::kNone};
      TACK_TRY(const auto logits, decoder.run({&piece, 1}));
      if (counts) TACK_RETURN_IF_ERROR(count(chunk, at, end, ids, logits, writer));
    }
    return {};
  }

  Status count(std::int64_t chunk, std::int64_t begin, std::int64_t end,
               const std::vector<TokenId>& ids, std::span<const float> logits,
               LogProbsWriter* writer) {
    const auto width = static_cast<std::size_t>(shape_.vocabulary);
    for (std::int64_t at = begin; at < end; ++at) {
      const auto row = logits.subspan(static_cast<std::size_t>(at - begin) * width, width);
      if (!std::ranges::all_of(row, [](float x) { return std::isfinite(x); }))
        return fail("the model's logits are not numbers");
      std::optional<LogProbsRow> base;
      if (base_) base = base_->row(chunk, at - shape_.first());
      meter_.add(row, ids[static_cast<std::size_t>(at + 1)], base ? &*base : nullptr);
      if (writer != nullptr) TACK_RETURN_IF_ERROR(writer->add(row));
    }
    return {};
  }

  const Model& model_;
  const PerplexityOptions& options_;
  std::optional<LogProbsFile> base_;
  LogProbsShape shape_;
  std::vector<TokenId> ids_;
  LanguageMeter meter_;
};

}  // namespace

Result<PerplexityResult> measure_perplexity(const std::shared_ptr<const Model>& model,
                                            std::optional<std::string_view> text,
                                            const PerplexityOptions& options) {
  Measurement measurement(*model, options);
  TACK_RETURN_IF_ERROR(measurement.prepare(text));
  TACK_TRY(const auto decoder,
           Decoder::create(model, {.threads = options.threads, .context = measurement.context()}));
  return measurement.run(*decoder);
}

Json PerplexityResult::to_json() const {
  Json json = metrics.to_json();
  json["context"] = shape.context;
  json["chunks"] = shape.chunks;
  return json;
}

std::string PerplexityResult::to_text() const {
  std::string text = fmt::format(
      "{} chunks of {} tokens, {} predicted\n  perplexity       {:.4f} +- {:.4f}\n", shape.chunks,
      shape.context, metrics.tokens, metrics.perplexity, metrics.perplexity_error);
  if (!metrics.divergence) return text;
  const Divergence& d = *metrics.divergence;
  text += fmt::format(
      "against a base of perplexity {:.4f}\n"
      "  divergence (KL)  {:.6f} +- {:.6f}  median {:.6f}, 99 % {:.6f}, largest {:.6f}\n"
      "  same best token  {:.2f} % +- {:.2f}\n",
      d.base_perplexity, d.kl.mean, d.kl.error, d.kl_median, d.kl_p99, d.kl_largest,
      100 * d.same_top.mean, 100 * d.same_top.error);
  return text;
}

}  // namespace tack
