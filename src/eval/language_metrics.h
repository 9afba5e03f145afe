// How well a decoder predicts a text, and how far it is from another that predicts the same text.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/json.h"
#include "eval/log_probs.h"

namespace tack {

// ln of the sum of e^x.
double log_sum_exp(std::span<const float> logits);
// -ln softmax(logits)[next], in nats.
double surprise(std::span<const float> logits, std::int32_t next);

// A mean over tokens and its standard error, as if tokens were independent.
struct MeanAndError {
  double mean = 0, error = 0;
};

// Against the log-probabilities of a base model.
struct Divergence {
  double base_perplexity = 0;
  MeanAndError kl;  // of the base's distribution from ours, nats a token
  double kl_median = 0, kl_p99 = 0, kl_largest = 0;
  MeanAndError same_top;  // share of tokens where both find the same next one most probable
};

struct LanguageMetrics {
  std::int64_t tokens = 0;  // that were predicted
  double perplexity = 0, perplexity_error = 0;
  std::optional<Divergence> divergence;

  Json to_json() const;
};

// Sums over tokens, one after another.
class LanguageMeter {
 public:
  // `next` is what followed. With a base, every call has one.
  void add(std::span<const float> logits, std::int32_t next, const LogProbsRow* base = nullptr);
  LanguageMetrics metrics() const;

 private:
  std::vector<float> surprise_, base_surprise_, kl_;  // by token
  std::int64_t same_top_ = 0;
};

}  // namespace tack
