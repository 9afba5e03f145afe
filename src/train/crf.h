// Linear-chain conditional random fields over the tags of a text (Lafferty et al. 2001), and BIO
// tags.
//
// The score of a tag sequence is start[y_0] + sum emissions[i][y_i] + transitions[y_{i-1}][y_i] +
// end[y_last]. Steps that BIO forbids (to I-x from anything but B-x and I-x) are never taken.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tack {

// Tags "O", "B-name", "I-name" by number, and which may follow which.
class TagRules {
 public:
  TagRules() = default;
  // Names that start with neither "B-" nor "I-" are outside. Any list of different names will do.
  explicit TagRules(std::vector<std::string> names);

  std::int64_t size() const { return static_cast<std::int64_t>(names_.size()); }
  const std::vector<std::string>& names() const { return names_; }
  // Whether `to` may follow `from`; from -1: may begin.
  bool allowed(std::int64_t from, std::int64_t to) const {
    return allowed_[static_cast<std::size_t>((from + 1) * size() + to)];
  }

 private:
  std::vector<std::string> names_;
  std::vector<bool> allowed_;  // [1 + tags, tags]
};

// Views of the learned scores: [tags, tags] (row: from), [tags], [tags].
struct CrfScores {
  std::span<const float> transitions, start, end;
};
struct CrfGradients {
  std::span<float> transitions, start, end;
};

// -log p(tags | emissions [n, tags]) times `scale`; adds its gradients. `tags` must be allowed.
double crf_loss(const TagRules& rules, const CrfScores& scores, std::span<const float> emissions,
                std::span<const std::int32_t> tags, double scale, std::span<float> gradient,
                const CrfGradients& score_gradients);

// The best allowed sequence (Viterbi). Empty spans in `scores` count as zero: constrained decoding.
std::vector<std::int32_t> best_tags(const TagRules& rules, const CrfScores& scores,
                                    std::span<const float> emissions);

// A named stretch [begin, end) of positions.
struct TagSpan {
  std::int64_t begin = 0, end = 0;
  std::string name;
  bool operator==(const TagSpan&) const = default;
};
// The spans of a BIO sequence, as conlleval reads it: an I- that cannot continue begins a span.
std::vector<TagSpan> tag_spans(const TagRules& rules, std::span<const std::int32_t> tags);

}  // namespace tack
