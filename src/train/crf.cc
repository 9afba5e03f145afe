#include "train/crf.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

namespace tack {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

double score_of(std::span<const float> scores, std::int64_t i) {
  return scores.empty() ? 0.0 : static_cast<double>(scores[at(i)]);
}

void add(float& to, double by) {
  to = static_cast<float>(static_cast<double>(to) + by);
}

// The name of an entity tag: "B-city" -> "city"; empty for outside.
std::string_view entity(std::string_view tag) {
  return tag.starts_with("B-") || tag.starts_with("I-") ? tag.substr(2) : std::string_view();
}

}  // namespace

TagRules::TagRules(std::vector<std::string> names) : names_(std::move(names)) {
  for (std::int64_t from = -1; from < size(); ++from)
    for (const std::string& to : names_)
      allowed_.push_back(!to.starts_with("I-") ||
                         (from >= 0 && entity(names_[at(from)]) == entity(to)));
}

CrfLikelihood::CrfLikelihood(const TagRules& rules, const CrfScores& scores) : scores_(scores) {
  const std::int64_t k = rules.size();
  for (std::int64_t x = 0; x < k; ++x)
    for (std::int64_t y = 0; y < k; ++y)
      steps_.push_back(rules.allowed(x, y) ? std::exp(score_of(scores.transitions, x * k + y)) : 0);
  for (std::int64_t y = 0; y < k; ++y) {
    start_.push_back(rules.allowed(-1, y) ? std::exp(score_of(scores.start, y)) : 0);
    end_.push_back(std::exp(score_of(scores.end, y)));
  }
}

// Forward and backward sums of products (not of logarithms: no exp in the inner loops), each
// position divided by its sum, as Rabiner 1989, section V.A.
double CrfLikelihood::loss(std::span<const float> emissions, std::span<const std::int32_t> tags,
                           double scale, std::span<float> gradient,
                           const CrfGradients& score_gradients) const {
  const std::size_t k = start_.size(), n = tags.size();
  if (n == 0) return 0;
  // forward[i][y]: the share of beginnings that end in y at i. weight[i][y]: exp of the emission
  // over the largest of a tag that can be reached, so that one stays at 1.
  std::vector<double> forward(n * k), weight(n * k), backward(n * k), sum(n), reach(start_);
  double log_total = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (i > 0) {
      std::ranges::fill(reach, 0.0);
      for (std::size_t x = 0; x < k; ++x)
        if (const double from = forward[(i - 1) * k + x]; from > 0)
          for (std::size_t y = 0; y < k; ++y) reach[y] += from * steps_[x * k + y];
    }
    double most = kNever;
    for (std::size_t y = 0; y < k; ++y)
      if (reach[y] > 0) most = std::max(most, static_cast<double>(emissions[i * k + y]));
    for (std::size_t y = 0; y < k; ++y) {
      if (reach[y] <= 0) continue;
      weight[i * k + y] = std::exp(static_cast<double>(emissions[i * k + y]) - most);
      forward[i * k + y] = reach[y] * weight[i * k + y];
      sum[i] += forward[i * k + y];
    }
    for (std::size_t y = 0; y < k; ++y) forward[i * k + y] /= sum[i];
    log_total += std::log(sum[i]) + most;
  }
  double last = 0;
  for (std::size_t y = 0; y < k; ++y) last += forward[(n - 1) * k + y] * end_[y];
  log_total += std::log(last);

  // backward[i][y]: over what follows y at i, so that forward * backward is p(y at i).
  for (std::size_t y = 0; y < k; ++y) backward[(n - 1) * k + y] = end_[y] / last;
  std::vector<double> after(k), expected(k * k);  // of steps x -> y, without the step's own factor
  for (std::size_t i = n - 1; i > 0; --i) {
    for (std::size_t y = 0; y < k; ++y) after[y] = weight[i * k + y] * backward[i * k + y] / sum[i];
    for (std::size_t x = 0; x < k; ++x) {
      const double here = forward[(i - 1) * k + x];
      double total = 0;
      for (std::size_t y = 0; y < k; ++y) {
        total += steps_[x * k + y] * after[y];
        expected[x * k + y] += here * after[y];
      }
      backward[(i - 1) * k + x] = total;
    }
  }

  // Gradient: expected minus observed counts.
  const auto tag = [&](std::size_t i) { return static_cast<std::size_t>(tags[i]); };
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t y = 0; y < k; ++y) {
      const double p = forward[i * k + y] * backward[i * k + y];
      const double difference = scale * (p - (tag(i) == y ? 1.0 : 0.0));
      add(gradient[i * k + y], difference);
      if (i == 0) add(score_gradients.start[y], difference);
      if (i == n - 1) add(score_gradients.end[y], difference);
    }
  double gold = score_of(scores_.start, tags[0]) + score_of(scores_.end, tags[n - 1]);
  for (std::size_t i = 0; i < n; ++i) {
    gold += static_cast<double>(emissions[i * k + tag(i)]);
    if (i == 0) continue;
    const std::size_t step = tag(i - 1) * k + tag(i);
    gold += score_of(scores_.transitions, static_cast<std::int64_t>(step));
    add(score_gradients.transitions[step], -scale);
  }
  for (std::size_t step = 0; step < k * k && n > 1; ++step)
    if (steps_[step] > 0)
      add(score_gradients.transitions[step], scale * expected[step] * steps_[step]);
  return scale * (log_total - gold);
}

TagDecoder::TagDecoder(const TagRules& rules, const CrfScores& scores) {
  constexpr float kForbidden = -1e30F;
  const std::int64_t k = rules.size();
  const auto score = [&](std::int64_t from, std::int64_t to, std::span<const float> of,
                         std::int64_t i) {
    return rules.allowed(from, to) ? static_cast<float>(score_of(of, i)) : kForbidden;
  };
  for (std::int64_t x = 0; x < k; ++x)
    for (std::int64_t y = 0; y < k; ++y)
      steps_.push_back(score(x, y, scores.transitions, x * k + y));
  for (std::int64_t y = 0; y < k; ++y) {
    start_.push_back(score(-1, y, scores.start, y));
    end_.push_back(static_cast<float>(score_of(scores.end, y)));
  }
}

std::vector<std::int32_t> TagDecoder::best(std::span<const float> emissions) const {
  const std::size_t k = start_.size(), n = k == 0 ? 0 : emissions.size() / k;
  std::vector<std::int32_t> out(n);
  if (n == 0) return out;
  std::vector<float> score(start_), next(k);
  std::vector<std::int32_t> from(n * k);
  for (std::size_t y = 0; y < k; ++y) score[y] += emissions[y];
  for (std::size_t i = 1; i < n; ++i) {
    std::int32_t* const origin = from.data() + i * k;
    for (std::size_t y = 0; y < k; ++y) next[y] = score[0] + steps_[y];
    for (std::size_t x = 1; x < k; ++x) {
      const float* const step = steps_.data() + x * k;
      for (std::size_t y = 0; y < k; ++y) {
        const float through = score[x] + step[y];
        const bool better = through > next[y];
        next[y] = better ? through : next[y];
        origin[y] = better ? static_cast<std::int32_t>(x) : origin[y];
      }
    }
    for (std::size_t y = 0; y < k; ++y) score[y] = next[y] + emissions[i * k + y];
  }
  for (std::size_t y = 0; y < k; ++y) score[y] += end_[y];
  out[n - 1] = static_cast<std::int32_t>(std::ranges::max_element(score) - score.begin());
  for (std::size_t i = n - 1; i > 0; --i)
    out[i - 1] = from[i * k + static_cast<std::size_t>(out[i])];
  return out;
}

std::vector<Span> tag_spans(const TagRules& rules, std::span<const std::int32_t> tags) {
  std::vector<Span> spans;
  std::string_view open;
  for (std::size_t i = 0; i < tags.size(); ++i) {
    const std::string& tag = rules.names()[static_cast<std::size_t>(tags[i])];
    const std::string_view name = entity(tag);
    const auto here = static_cast<std::int64_t>(i);
    if (!name.empty() && (tag.starts_with("B-") || name != open))
      spans.push_back({here, here + 1, std::string(name)});
    else if (!name.empty())
      spans.back().end = here + 1;
    open = name;
  }
  return spans;
}

}  // namespace tack
