#include "engine/sampler.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/kernels.h"

namespace tack {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr std::size_t kBlock = 64;      // values looked at together before one of them is
constexpr std::size_t kKernelPad = 16;  // the softmax kernel writes whole multiples of this
// A weight's bin is its exponent and first mantissa bits: 16 bins for each power of two.
constexpr int kBinShift = 19;
constexpr std::size_t kBins = (0x3F800000U >> kBinShift) + 2;  // up to 1.0F, and what rounding adds

// Best first; of equals, the lower id.
constexpr auto by_rank = [](const auto& a, const auto& b) {
  return a.value > b.value || (a.value == b.value && a.id < b.id);
};

// Calls visit(i) for every values[i] > threshold(), which may rise meanwhile. Blocks without one
// are passed by vectors.
template <class Threshold, class Visit>
void for_above(std::span<const float> values, const Threshold& threshold, const Visit& visit) {
  for (std::size_t begin = 0; begin < values.size(); begin += kBlock) {
    const auto block = values.subspan(begin, std::min(kBlock, values.size() - begin));
    const float least = threshold();
    int above = 0;
    for (const float v : block) above += static_cast<int>(v > least);
    if (above == 0) continue;
    for (std::size_t i = 0; i < block.size(); ++i)
      if (block[i] > threshold()) visit(begin + i);
  }
}

float smallest_of(std::size_t bin) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bin) << kBinShift);
}
std::size_t bin_of(float weight) {
  return std::bit_cast<std::uint32_t>(weight) >> kBinShift;
}

double block_sum(std::span<const float> block) {
  std::array<float, 16> lanes{};
  std::size_t i = 0;
  for (; i + lanes.size() <= block.size(); i += lanes.size())
    for (std::size_t l = 0; l < lanes.size(); ++l) lanes[l] += block[i + l];
  double sum = 0;
  for (; i < block.size(); ++i) sum += block[i];
  for (const float lane : lanes) sum += lane;
  return sum;
}

Status check(const SamplingOptions& o, std::int64_t vocab_size) {
  const auto bad = [](const char* name, double value, const char* range) {
    return fail(ErrorCode::kUsage, "{} = {}: must be {}", name, value, range);
  };
  if (!(o.temperature >= 0 && o.temperature <= 100))
    return bad("temperature", o.temperature, "from 0 to 100");
  if (o.top_k < 0) return bad("top_k", static_cast<double>(o.top_k), "0 (no limit) or more");
  if (!(o.top_p > 0 && o.top_p <= 1)) return bad("top_p", o.top_p, "above 0, at most 1");
  if (!(o.min_p >= 0 && o.min_p <= 1)) return bad("min_p", o.min_p, "from 0 to 1");
  if (!(o.repetition_penalty > 0 && o.repetition_penalty <= 100))
    return bad("repetition_penalty", o.repetition_penalty, "above 0, at most 100");
  if (o.repetition_window < -1)
    return bad("repetition_window", static_cast<double>(o.repetition_window), "-1 (all) or more");
  if (!(std::abs(o.presence_penalty) <= 100))
    return bad("presence_penalty", o.presence_penalty, "from -100 to 100");
  if (!(std::abs(o.frequency_penalty) <= 100))
    return bad("frequency_penalty", o.frequency_penalty, "from -100 to 100");
  for (const auto& [id, bias] : o.logit_bias) {
    if (id < 0 || id >= vocab_size)
      return fail(ErrorCode::kUsage, "logit_bias: token {} is not in the vocabulary of {}", id,
                  vocab_size);
    if (!std::isfinite(bias)) return bad("logit_bias", bias, "a finite number");
  }
  return {};
}

}  // namespace

Sampler::Sampler(const SamplingOptions& options, std::int64_t vocab_size)
    : options_(options), vocab_(static_cast<std::size_t>(vocab_size)), random_(options.seed) {
  // Below this a softmax overflows nothing, but no other token could ever be drawn.
  if (options_.temperature < 1e-5) options_.temperature = 0;
  if (options_.top_k >= vocab_size) options_.top_k = 0;
}

Result<Sampler> Sampler::create(const SamplingOptions& options, std::int64_t vocab_size) {
  if (vocab_size < 1 || vocab_size > std::numeric_limits<TokenId>::max())
    return fail(ErrorCode::kUsage, "sampling from a vocabulary of {} tokens", vocab_size);
  TACK_RETURN_IF_ERROR(check(options, vocab_size));
  return Sampler(options, vocab_size);
}

void Sampler::penalize(const Input& input) {
  const auto known = [&](TokenId id) { return id >= 0 && static_cast<std::size_t>(id) < vocab_; };
  // Each token once, however often it occurs: counts_ says whether it was met.
  if (options_.repetition_penalty != 1 && options_.repetition_window != 0) {
    const std::size_t all = input.prompt.size() + input.output.size();
    const std::size_t window =
        options_.repetition_window < 0
            ? all
            : std::min(all, static_cast<std::size_t>(options_.repetition_window));
    const std::size_t of_output = std::min(window, input.output.size());
    const std::array spans = {input.prompt.last(window - of_output), input.output.last(of_output)};
    const auto penalty = static_cast<float>(options_.repetition_penalty);
    for (const auto& span : spans)
      for (const TokenId id : span) {
        if (!known(id) || counts_[static_cast<std::size_t>(id)]++ > 0) continue;
        float& logit = adjusted_[static_cast<std::size_t>(id)];
        logit = logit > 0 ? logit / penalty : logit * penalty;
      }
    for (const auto& span : spans)
      for (const TokenId id : span)
        if (known(id)) counts_[static_cast<std::size_t>(id)] = 0;
  }
  if (options_.presence_penalty == 0 && options_.frequency_penalty == 0) return;
  for (const TokenId id : input.output)
    if (known(id)) ++counts_[static_cast<std::size_t>(id)];
  for (const TokenId id : input.output) {
    if (!known(id)) continue;
    std::uint32_t& count = counts_[static_cast<std::size_t>(id)];
    if (count == 0) continue;
    adjusted_[static_cast<std::size_t>(id)] -=
        static_cast<float>(options_.presence_penalty + count * options_.frequency_penalty);
    count = 0;
  }
}

Status Sampler::adjust(const Input& input) {
  if (input.logits.size() != vocab_ ||
      (!input.allowed.empty() && input.allowed.size() != (vocab_ + 31) / 32))
    return fail("sampling: {} logits and {} words of mask for a vocabulary of {}",
                input.logits.size(), input.allowed.size(), vocab_);
  constexpr float kLargest = std::numeric_limits<float>::max();
  const float* const logits = input.logits.data();
  float* const adjusted = adjusted_.data();
  for (std::size_t i = 0, n = vocab_; i < n; ++i) {
    const float v = logits[i] > kLargest ? kLargest : logits[i];
    adjusted[i] = v == v ? v : kNever;
  }
  for (std::size_t w = 0; w < input.allowed.size(); ++w) {
    const std::uint32_t bits = input.allowed[w];
    if (bits == ~0U) continue;
    const std::size_t begin = w * 32, end = std::min(begin + 32, vocab_);
    for (std::size_t i = begin; i < end; ++i)
      adjusted_[i] = (bits >> (i - begin) & 1U) != 0 ? adjusted_[i] : kNever;
  }
  for (const auto& [id, bias] : options_.logit_bias)
    adjusted_[static_cast<std::size_t>(id)] += bias;
  penalize(input);
  return {};
}

void Sampler::select(std::span<const float> values, std::size_t n) {
  candidates_.clear();
  if (n == 0) return;
  // Kept up to twice n; then the best n stay, and the last of them is what later ones must exceed
  // (an equal one comes later, so it loses the tie).
  const std::size_t room = 2 * n + kBlock;
  float least = kNever;
  const auto shrink = [&] {
    if (candidates_.size() <= n) return;
    const auto nth = candidates_.begin() + static_cast<std::ptrdiff_t>(n) - 1;
    std::nth_element(candidates_.begin(), nth, candidates_.end(), by_rank);
    least = nth->value;
    candidates_.resize(n);
  };
  for_above(
      values, [&] { return least; },
      [&](std::size_t i) {
        candidates_.push_back({values[i], static_cast<TokenId>(i)});
        if (candidates_.size() >= room) shrink();
      });
  shrink();
  std::sort(candidates_.begin(), candidates_.end(), by_rank);
}

TokenId Sampler::best() const {
  float most = kNever;
  std::size_t at = 0;
  for_above(
      adjusted_, [&] { return most; },
      [&](std::size_t i) {
        most = adjusted_[i];
        at = i;
      });
  return static_cast<TokenId>(at);
}

TokenId Sampler::draw_of_few(double all) {
  const double top = candidates_.front().value;
  double held = 0;
  bins_.clear();
  for (const Candidate& c : candidates_) {
    bins_.push_back(std::exp((c.value - top) / options_.temperature));
    held += bins_.back();
  }
  if (all <= 0) all = held;
  // Best first, so what is kept is a prefix.
  std::size_t kept = 0;
  double sum = 0;
  while (kept < bins_.size() &&
         (kept == 0 || (sum < options_.top_p * all && bins_[kept] >= options_.min_p)))
    sum += bins_[kept++];
  if (options_.top_p >= 1 && options_.min_p <= 0) kept = bins_.size(), sum = held;
  double at = random_.uniform() * sum;
  for (std::size_t i = 0; i + 1 < kept; ++i) {
    if (at < bins_[i]) return candidates_[i].id;
    at -= bins_[i];
  }
  return candidates_[kept - 1].id;
}

bool Sampler::few_hold(float floor) {
  constexpr std::size_t kFew = 1024;
  candidates_.clear();
  // Beyond kFew nothing is above the threshold any more.
  for_above(
      {weights_.data(), vocab_},
      [&] { return candidates_.size() > kFew ? std::numeric_limits<float>::max() : floor; },
      [&](std::size_t i) { candidates_.push_back({adjusted_[i], static_cast<TokenId>(i)}); });
  if (candidates_.size() > kFew || candidates_.empty()) return false;
  std::sort(candidates_.begin(), candidates_.end(), by_rank);
  return true;
}

// Sets to 0 all weights but those that hold `mass` of their sum, 1, together, best first. Those up
// to `floor` are known not to be among them. The others are summed in bins by size; only the bin
// where the cut falls is sorted.
void Sampler::keep_top_mass(double mass, float floor) {
  const std::span<const float> weights{weights_.data(), vocab_};
  bins_.assign(kBins, 0.0);
  for_above(
      weights, [&] { return floor; },
      [&](std::size_t i) { bins_[bin_of(weights[i])] += weights[i]; });
  double sum = 0;
  std::size_t cut = kBins;
  while (cut > 0 && sum + bins_[cut - 1] < mass) sum += bins_[--cut];
  if (cut == 0) return;  // they sum to less than 1 by rounding: all stay
  --cut;
  candidates_.clear();
  const float below = std::nextafter(smallest_of(cut), 0.0F), beyond = smallest_of(cut + 1);
  for_above(
      weights, [&] { return below; },
      [&](std::size_t i) {
        if (weights[i] < beyond) candidates_.push_back({weights[i], static_cast<TokenId>(i)});
      });
  std::sort(candidates_.begin(), candidates_.end(), by_rank);
  std::size_t kept = 0;
  while (kept < candidates_.size() && sum < mass) sum += candidates_[kept++].value;
  cut_below(beyond);
  for (std::size_t i = 0; i < kept; ++i)
    weights_[static_cast<std::size_t>(candidates_[i].id)] = candidates_[i].value;
}

void Sampler::cut_below(float least) {
  float* const weights = weights_.data();
  const std::size_t n = weights_.size();
  for (std::size_t i = 0; i < n; ++i) weights[i] = weights[i] >= least ? weights[i] : 0.0F;
}

TokenId Sampler::draw_by_weight() {
  // Sums of blocks first, so that only one block is gone through value by value.
  constexpr std::size_t kRange = 1024;
  bins_.clear();
  double all = 0;
  for (std::size_t begin = 0; begin < vocab_; begin += kRange) {
    bins_.push_back(block_sum({weights_.data() + begin, std::min(kRange, vocab_ - begin)}));
    all += bins_.back();
  }
  double at = random_.uniform() * all;
  std::size_t range = 0;
  while (range + 1 < bins_.size() && at >= bins_[range]) at -= bins_[range++];
  const std::size_t begin = range * kRange, end = std::min(begin + kRange, vocab_);
  std::size_t chosen = vocab_;
  for (std::size_t i = begin; i < end; ++i) {
    if (adjusted_[i] == kNever || weights_[i] <= 0) continue;
    chosen = i;
    if (at < weights_[i]) break;
    at -= weights_[i];
  }
  return chosen < vocab_ ? static_cast<TokenId>(chosen) : best();
}

TokenId Sampler::draw_of_all() {
  std::array<float, 2> stats{};
  kernels::kernels().backward.softmax(adjusted_.data(), 1, static_cast<std::int64_t>(vocab_),
                                      static_cast<std::int64_t>(weights_.size()),
                                      static_cast<float>(1 / options_.temperature), weights_.data(),
                                      stats.data());
  if (options_.top_p < 1) {
    // Weights up to (1 - top_p) / vocabulary are together less than what is cut.
    const auto floor =
        static_cast<float>((1 - options_.top_p) / static_cast<double>(vocab_) * 0.999);
    if (few_hold(floor)) return draw_of_few(stats[1]);
    keep_top_mass(options_.top_p, floor);
  }
  // The best one has e^0 / sum. Rounding must not cut it when min_p is 1.
  if (options_.min_p > 0) cut_below(static_cast<float>(options_.min_p / stats[1] * 0.999999));
  return draw_by_weight();
}

void Sampler::report(const Input& input, SampledToken& token) {
  std::array<float, 2> stats{};
  kernels::kernels().backward.softmax(input.logits.data(), 1, static_cast<std::int64_t>(vocab_),
                                      static_cast<std::int64_t>(weights_.size()), 1.0F,
                                      weights_.data(), stats.data());
  const float log_sum = stats[0] + std::log(stats[1]);
  token.logprob = input.logits[static_cast<std::size_t>(token.id)] - log_sum;
  select(input.logits, std::min(vocab_, static_cast<std::size_t>(input.logprobs)));
  for (const Candidate& c : candidates_) token.top.push_back({c.id, c.value - log_sum});
}

Result<SampledToken> Sampler::sample(const Input& input) {
  if (adjusted_.empty()) {  // requests that wait have no need of megabytes
    adjusted_.resize(vocab_);
    weights_.resize((vocab_ + kKernelPad - 1) / kKernelPad * kKernelPad);
    counts_.resize(vocab_);
  }
  TACK_RETURN_IF_ERROR(adjust(input));
  SampledToken token;
  token.id = best();
  if (adjusted_[static_cast<std::size_t>(token.id)] == kNever)
    return fail("sampling: no token is allowed here");
  if (options_.temperature > 0) {
    if (options_.top_k > 0) {
      select(adjusted_, static_cast<std::size_t>(options_.top_k));
      token.id = draw_of_few(0);
    } else {
      token.id = draw_of_all();
    }
  }
  if (input.logprobs >= 0) report(input, token);
  return token;
}

}  // namespace tack
