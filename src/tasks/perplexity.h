// `tack eval` of a decoder: how well it predicts a text.
//
// As llama-perplexity does it: the text is cut into chunks of `context` tokens, each begins anew
// (with the beginning of a text where the tokenizer puts one), and the tokens of its second half
// are predicted from what stands before them in the chunk.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "eval/language_metrics.h"
#include "models/model.h"

namespace tack {

struct PerplexityOptions {
  std::int64_t context = 0;  // tokens in a chunk; 0: as `against` has, else 512 or the model's
  std::int64_t chunks = 0;   // 0: all that the text fills
  int threads = 0;
  std::string save;     // file to write log-probabilities to (eval/log_probs.h); empty: none
  std::string against;  // file with those of a base model, to compare with; empty: none
  // Chunks that are done, of all.
  std::function<void(std::int64_t done, std::int64_t total)> progress;
};

struct PerplexityResult {
  LogProbsShape shape;
  LanguageMetrics metrics;

  Json to_json() const;
  std::string to_text() const;
};

// `text` may be left out where `against` is given: its tokens are taken. Errors (kUsage): a text
// shorter than a chunk, options that do not fit the model or the file, a text that is not the
// file's.
Result<PerplexityResult> measure_perplexity(const std::shared_ptr<const Model>& model,
                                            std::optional<std::string_view> text,
                                            const PerplexityOptions& options);

}  // namespace tack
