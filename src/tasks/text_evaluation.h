// How well a decoder predicts texts: perplexity, and bits for each byte, which compares models of
// different tokenizers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/json.h"
#include "eval/dataset.h"
#include "eval/metrics.h"
#include "models/model.h"

namespace tack {

struct TextEvaluation {
  std::vector<double> losses;        // of each document: the sum of -log p, nats
  std::vector<std::int64_t> tokens;  // of each document: those that were predicted
  std::vector<std::int64_t> bytes;   // of each document: of the tokens that were predicted
  Estimate perplexity;               // per token; resampled are documents
  Estimate bits_per_byte;            // the token that ends a document costs bits, but is no byte
  std::int64_t length = 0;           // tokens of a piece
  double tokens_per_second = 0;

  std::int64_t all_tokens() const;
  std::int64_t all_bytes() const;
  Json to_json() const;
};

struct TextEvaluationOptions {
  int threads = 0;
  std::int64_t length = 0;  // tokens of a piece (tasks/text_pieces.h); 0: default_length()
  std::function<void(std::int64_t tokens)> progress;  // may be empty
};

// What the model was trained with, where its file says so, else its context, at most 2048.
std::int64_t default_length(const Model& model);

// By the engine (engine/decoder.h). Errors: a model that does not generate; a length beyond its
// context; texts without a token to predict; interruption.
Result<TextEvaluation> evaluate_texts(const std::shared_ptr<const Model>& model,
                                      const Dataset& documents,
                                      const TextEvaluationOptions& options);

}  // namespace tack
