#include "eval/language_metrics.h"

#include <algorithm>
#include <cmath>

namespace tack {
namespace {

// What the base gives a smaller probability than this (e^-16) is left out of the divergence, as
// llama-perplexity does: the file does not tell such probabilities apart.
constexpr double kLeastLogProb = -16;

MeanAndError mean_of(std::span<const float> values) {
  if (values.empty()) return {};
  const auto count = static_cast<double>(values.size());
  double sum = 0, squares = 0;
  for (const float value : values) sum += static_cast<double>(value);
  const double mean = sum / count;
  for (const float value : values) squares += std::pow(static_cast<double>(value) - mean, 2);
  return {mean, count > 1 ? std::sqrt(squares / (count - 1) / count) : 0.0};
}

double quantile(std::vector<float>& values, double share) {
  const auto at = static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return static_cast<double>(values[static_cast<std::size_t>(at)]);
}

}  // namespace

double log_sum_exp(std::span<const float> logits) {
  const float best = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += static_cast<double>(std::exp(logit - best));
  return static_cast<double>(best) + std::log(sum);
}

double surprise(std::span<const float> logits, std::int32_t next) {
  return log_sum_exp(logits) - static_cast<double>(logits[static_cast<std::size_t>(next)]);
}

void LanguageMeter::add(std::span<const float> logits, std::int32_t next, const LogProbsRow* base) {
  const double total = log_sum_exp(logits);
  surprise_.push_back(
      static_cast<float>(total - static_cast<double>(logits[static_cast<std::size_t>(next)])));
  if (base == nullptr) return;
  base_surprise_.push_back(-base->at(next));
  double divergence = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const auto expected = static_cast<double>(base->at(static_cast<std::int64_t>(i)));
    if (expected > kLeastLogProb)
      divergence += std::exp(expected) * (expected - (static_cast<double>(logits[i]) - total));
  }
  kl_.push_back(static_cast<float>(divergence));
  const auto best = std::ranges::max_element(logits) - logits.begin();
  same_top_ += best == std::ranges::max_element(base->codes) - base->codes.begin();
}

LanguageMetrics LanguageMeter::metrics() const {
  LanguageMetrics out;
  out.tokens = static_cast<std::int64_t>(surprise_.size());
  const MeanAndError surprise = mean_of(surprise_);
  out.perplexity = std::exp(surprise.mean);
  out.perplexity_error = out.perplexity * surprise.error;
  if (kl_.empty()) return out;
  Divergence& divergence = out.divergence.emplace();
  divergence.base_perplexity = std::exp(mean_of(base_surprise_).mean);
  divergence.kl = mean_of(kl_);
  std::vector<float> sorted = kl_;
  divergence.kl_median = quantile(sorted, 0.5);
  divergence.kl_p99 = quantile(sorted, 0.99);
  divergence.kl_largest = quantile(sorted, 1);
  const auto count = static_cast<double>(kl_.size());
  const double share = static_cast<double>(same_top_) / count;
  divergence.same_top = {share, std::sqrt(share * (1 - share) / count)};
  return out;
}

Json LanguageMetrics::to_json() const {
  Json json = {
      {"tokens", tokens}, {"perplexity", perplexity}, {"perplexity_error", perplexity_error}};
  if (divergence)
    json["against"] = {{"perplexity", divergence->base_perplexity},
                       {"kl", divergence->kl.mean},
                       {"kl_error", divergence->kl.error},
                       {"kl_median", divergence->kl_median},
                       {"kl_p99", divergence->kl_p99},
                       {"kl_largest", divergence->kl_largest},
                       {"same_top", divergence->same_top.mean},
                       {"same_top_error", divergence->same_top.error}};
  return json;
}

}  // namespace tack
