// Logits to a token. In this order:
//   1. tokens outside the mask of a constraint are out;
//   2. logit_bias is added;
//   3. the repetition penalty divides positive logits and multiplies negative ones (Keskar et al.
//      2019) of tokens among the last `repetition_window` of prompt and output; then frequency and
//      presence penalties are subtracted for tokens of the output alone;
//   4. temperature divides;
//   5. top_k keeps the k best; top_p keeps the fewest of those, best first, that hold at least that
//      share of what is left; min_p keeps those at least that likely relative to the best;
//   6. one of what is left is drawn.
// Temperature and cuts follow each other as in transformers. vLLM cuts by min_p first. llama.cpp by
// default applies the temperature last: its top_p cuts a distribution of temperature 1.
// Ties go to the lower id, and the best token is never cut.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "text/tokenizer.h"

namespace tack {

struct SamplingOptions {
  double temperature = 1;  // 0: the best token, nothing is drawn
  std::int64_t top_k = 0;  // 0: no limit
  double top_p = 1;
  double min_p = 0;
  double repetition_penalty = 1;
  std::int64_t repetition_window = 64;  // tokens; -1: all
  double presence_penalty = 0;
  double frequency_penalty = 0;
  std::vector<std::pair<TokenId, float>> logit_bias;
  std::uint64_t seed = 0;
};

struct TokenLogprob {
  TokenId id = 0;
  float logprob = 0;
};

struct SampledToken {
  TokenId id = 0;
  // Of the model's own distribution: softmax of the logits as given, before every step above.
  // Filled when asked for.
  float logprob = 0;
  std::vector<TokenLogprob> top;  // the most likely tokens, best first
};

// One per sequence, owned by one thread at a time. The same seed and the same calls give the same
// tokens.
class Sampler {
 public:
  struct Input {
    std::span<const float> logits;            // [vocabulary]; NaN counts as never
    std::span<const std::uint32_t> allowed;   // a bit for each token, from bit 0; empty: all
    std::span<const TokenId> prompt, output;  // so far
    std::int64_t logprobs = -1;  // how many of the most likely to report; -1: no logprobs
  };

  // Errors (kUsage) name the option and its range.
  static Result<Sampler> create(const SamplingOptions& options, std::int64_t vocab_size);

  // Errors (kFailed): the mask or the logits allow no token; sizes that are not the vocabulary's.
  Result<SampledToken> sample(const Input& input);

 private:
  struct Candidate {
    float value;
    TokenId id;
  };

  Sampler(const SamplingOptions& options, std::int64_t vocab_size);
  Status adjust(const Input& input);  // steps 1 to 3, into adjusted_
  void penalize(const Input& input);
  TokenId best() const;
  // From candidates_, best first; `all`: the sum that top_p is a share of, the best counting 1; 0:
  // that of the candidates.
  TokenId draw_of_few(double all);
  TokenId draw_of_all();
  bool few_hold(float floor);  // into candidates_, when not many weights are above it
  void keep_top_mass(double mass, float floor);
  void cut_below(float least);
  TokenId draw_by_weight();
  // The n largest of values, best first, into candidates_.
  void select(std::span<const float> values, std::size_t n);
  void report(const Input& input, SampledToken& token);

  SamplingOptions options_;
  std::size_t vocab_;
  Random random_;
  std::vector<float> adjusted_, weights_;  // weights_ is padded for the kernel
  std::vector<std::uint32_t> counts_;      // all 0 between calls
  std::vector<Candidate> candidates_;
  std::vector<double> bins_;
};

}  // namespace tack
