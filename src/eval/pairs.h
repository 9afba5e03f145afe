// Texts that belong together, for training and measuring encoders.
//
//   kPositive  text, positive          perhaps also a negative: a text that looks alike and is not
//   kScored    text, other, score      scores may be on any scale; larger means more alike
//   kLabel     text, label             texts of one label belong together
//
// All as columns of CSV or TSV, or keys of JSON lines.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "eval/dataset.h"

namespace tack {

struct PairSet {
  std::string name;  // the path, for messages
  PairKind kind = PairKind::kPositive;
  std::vector<std::string> texts;
  std::vector<std::string> others;     // of each text; empty for kLabel
  std::vector<std::string> negatives;  // of each text; empty: there are none
  std::vector<float> scores;           // kScored
  std::vector<std::int32_t> labels;    // kLabel
  std::vector<std::string> label_names;
  std::string sha256;  // of all this, in order

  std::size_t size() const { return texts.size(); }
  PairSet subset(const std::vector<std::size_t>& which) const;
};

// Errors: as RowReader; an empty text, a score that is no number, no rows. Rows of kLabel that are
// out of scope are left out: nothing says that they belong together.
Result<PairSet> read_pairs(const DataSource& source);
// The same over a file's text, not for kLabel; source.path stands in error messages.
Result<PairSet> parse_pairs(std::string_view text, const DataSource& source);

// What training needs: two rows at least, scores that differ, two texts of some label.
Status check_trainable(const PairSet& pairs);

// As split_by_content() of the first texts; of kLabel by label.
Split split_pairs(const PairSet& pairs, double fraction, std::uint64_t seed);

// How many rows of `test` have a first text that also stands in `train`, on either side.
std::size_t count_overlap(const PairSet& train, const PairSet& test);

}  // namespace tack
