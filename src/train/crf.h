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

#include "text/span.h"

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

// The likelihood of tag sequences under scores that stay as they are for some texts (a batch).
class CrfLikelihood {
 public:
  CrfLikelihood(const TagRules& rules, const CrfScores& scores);

  // -log p(tags | emissions [n, tags]) times `scale`; adds its gradients. `tags` must be allowed.
  double loss(std::span<const float> emissions, std::span<const std::int32_t> tags, double scale,
              std::span<float> gradient, const CrfGradients& score_gradients) const;

 private:
  CrfScores scores_;
  std::vector<double> steps_, start_, end_;  // exp of the scores; 0 where a step is forbidden
};

// The best allowed sequence (Viterbi). Empty spans in `scores` count as zero: constrained decoding.
class TagDecoder {
 public:
  TagDecoder(const TagRules& rules, const CrfScores& scores);
  std::vector<std::int32_t> best(std::span<const float> emissions) const;  // [n, tags] -> [n]

 private:
  std::vector<float> steps_, start_, end_;  // the scores; far below any where forbidden
};

// The spans of a BIO sequence, as conlleval reads it: an I- that cannot continue begins a span.
std::vector<Span> tag_spans(const TagRules& rules, std::span<const std::int32_t> tags);

}  // namespace tack
