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

double log_sum(const std::vector<double>& terms) {
  const double most = *std::ranges::max_element(terms);
  if (most == kNever) return kNever;
  double sum = 0;
  for (double t : terms) sum += std::exp(t - most);
  return most + std::log(sum);
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

double crf_loss(const TagRules& rules, const CrfScores& scores, std::span<const float> emissions,
                std::span<const std::int32_t> tags, double scale, std::span<float> gradient,
                const CrfGradients& score_gradients) {
  const std::int64_t k = rules.size(), n = static_cast<std::int64_t>(tags.size());
  if (n == 0) return 0;
  const auto emission = [&](std::int64_t i, std::int64_t y) {
    return static_cast<double>(emissions[at(i * k + y)]);
  };
  const auto step = [&](std::int64_t from, std::int64_t to) {
    return rules.allowed(from, to) ? score_of(scores.transitions, from * k + to) : kNever;
  };
  // forward[i][y]: log of the sum over beginnings that end in y at i; backward[i][y]: over what
  // follows y at i.
  std::vector<double> forward(at(n * k)), backward(at(n * k)), terms(at(k));
  for (std::int64_t y = 0; y < k; ++y)
    forward[at(y)] = rules.allowed(-1, y) ? score_of(scores.start, y) + emission(0, y) : kNever;
  for (std::int64_t i = 1; i < n; ++i)
    for (std::int64_t y = 0; y < k; ++y) {
      for (std::int64_t x = 0; x < k; ++x) terms[at(x)] = forward[at((i - 1) * k + x)] + step(x, y);
      forward[at(i * k + y)] = log_sum(terms) + emission(i, y);
    }
  for (std::int64_t y = 0; y < k; ++y) backward[at((n - 1) * k + y)] = score_of(scores.end, y);
  for (std::int64_t i = n - 2; i >= 0; --i)
    for (std::int64_t y = 0; y < k; ++y) {
      for (std::int64_t x = 0; x < k; ++x)
        terms[at(x)] = step(y, x) + emission(i + 1, x) + backward[at((i + 1) * k + x)];
      backward[at(i * k + y)] = log_sum(terms);
    }
  for (std::int64_t y = 0; y < k; ++y)
    terms[at(y)] = forward[at((n - 1) * k + y)] + score_of(scores.end, y);
  const double total = log_sum(terms);

  // Gradient: expected minus observed counts.
  double gold = score_of(scores.start, tags[0]) + score_of(scores.end, tags[at(n - 1)]);
  for (std::int64_t i = 0; i < n; ++i) {
    gold += emission(i, tags[at(i)]);
    if (i > 0) gold += step(tags[at(i - 1)], tags[at(i)]);
    for (std::int64_t y = 0; y < k; ++y) {
      const double p = std::exp(forward[at(i * k + y)] + backward[at(i * k + y)] - total);
      const double difference = scale * (p - (tags[at(i)] == y ? 1.0 : 0.0));
      add(gradient[at(i * k + y)], difference);
      if (i == 0) add(score_gradients.start[at(y)], difference);
      if (i == n - 1) add(score_gradients.end[at(y)], difference);
    }
    if (i == 0) continue;
    for (std::int64_t x = 0; x < k; ++x)
      for (std::int64_t y = 0; y < k; ++y) {
        if (!rules.allowed(x, y)) continue;
        const double p = std::exp(forward[at((i - 1) * k + x)] + step(x, y) + emission(i, y) +
                                  backward[at(i * k + y)] - total);
        const bool observed = tags[at(i - 1)] == x && tags[at(i)] == y;
        add(score_gradients.transitions[at(x * k + y)], scale * (p - (observed ? 1.0 : 0.0)));
      }
  }
  return scale * (total - gold);
}

std::vector<std::int32_t> best_tags(const TagRules& rules, const CrfScores& scores,
                                    std::span<const float> emissions) {
  const std::int64_t k = rules.size();
  const std::int64_t n = k == 0 ? 0 : static_cast<std::int64_t>(emissions.size()) / k;
  std::vector<std::int32_t> out(at(n));
  if (n == 0) return out;
  std::vector<double> best(at(k)), next(at(k));
  std::vector<std::int32_t> from(at(n * k));
  for (std::int64_t y = 0; y < k; ++y)
    best[at(y)] = rules.allowed(-1, y)
                      ? score_of(scores.start, y) + static_cast<double>(emissions[at(y)])
                      : kNever;
  for (std::int64_t i = 1; i < n; ++i) {
    for (std::int64_t y = 0; y < k; ++y) {
      double most = kNever;
      std::int32_t where = 0;
      for (std::int64_t x = 0; x < k; ++x) {
        if (!rules.allowed(x, y)) continue;
        const double s = best[at(x)] + score_of(scores.transitions, x * k + y);
        if (s > most) {
          most = s;
          where = static_cast<std::int32_t>(x);
        }
      }
      next[at(y)] = most + static_cast<double>(emissions[at(i * k + y)]);
      from[at(i * k + y)] = where;
    }
    best.swap(next);
  }
  for (std::int64_t y = 0; y < k; ++y) best[at(y)] += score_of(scores.end, y);
  out[at(n - 1)] = static_cast<std::int32_t>(std::ranges::max_element(best) - best.begin());
  for (std::int64_t i = n - 1; i > 0; --i) out[at(i - 1)] = from[at(i * k + out[at(i)])];
  return out;
}

std::vector<TagSpan> tag_spans(const TagRules& rules, std::span<const std::int32_t> tags) {
  std::vector<TagSpan> spans;
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
