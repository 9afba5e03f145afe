// Labelled texts in memory, and how they are divided.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "eval/rows.h"
#include "text/span.h"

namespace tack {

inline constexpr std::int32_t kOutOfScope = -1;

// How rows say which texts belong together: not at all; a text and one that belongs to it; two
// texts and how alike they are; texts of one label.
enum class PairKind : std::uint8_t { kNone, kPositive, kScored, kLabel };

struct PairColumns {
  PairKind kind = PairKind::kNone;
  std::string other = "positive";  // the second text (kPositive, kScored)
  std::string negative;            // one that does not belong to the first; empty: none
  std::string score;               // kScored
};

// What to read. `oos_label` marks rows that belong to no label (empty: there are none).
struct DataSource {
  std::string path;  // as RowReader::open takes it
  std::string text = "text", label = "label";
  std::string spans;  // of tagged texts (eval/tagged.h); empty: there are none
  std::string oos_label;
  bool label_sets = false;      // any number of labels a row (eval/label_sets.h)
  std::string separator = "|";  // of the labels in one field
  PairColumns pairs;            // of texts that belong together (eval/pairs.h)
  RowFormat format = RowFormat::kAuto;
};

struct Dataset {
  std::string name;  // the path, for messages
  std::vector<std::string> texts;
  std::vector<std::int32_t> labels;      // index into label_names, or kOutOfScope
  std::vector<std::string> label_names;  // sorted; empty when texts have no label (all are 0)
  std::vector<std::vector<Span>> spans;  // of each text, in order, in bytes; empty: not tagged
  std::vector<std::string> span_names;   // sorted
  std::string sha256;                    // of texts and label names, in order: for the lineage
  // Of each row, ascending; empty: a row has the one label above. With sets all `labels` are 0.
  std::vector<std::vector<std::int32_t>> label_sets = {};

  std::size_t size() const { return texts.size(); }
  std::size_t in_scope() const;
  // The rows of `which`, in that order.
  Dataset subset(const std::vector<std::size_t>& which) const;
};

// Reads all rows, tagged or not, with one label or any number. With `known_labels` (not empty) the
// names are those, and a label outside them is an error; else they are what the file has. Errors:
// as RowReader; an empty text or label, with its line; no rows.
Result<Dataset> read_dataset(const DataSource& source,
                             const std::vector<std::string>& known_labels = {});

// What training a classifier needs: at least two labels, each at least twice. The error names the
// label and the line of its row.
Status check_trainable(const Dataset& data);

// The text in lower case (ASCII), with runs of white space as one space: what copies share.
std::string normalized_text(std::string_view text);
// The text without white space at its ends.
std::string trimmed_text(const std::string& text);

// Divides rows by a hash of their text (normalized_text), stratified by
// label: the same file always gives the same parts, a text and its copies are on one side, and the
// order of rows does not matter. `fraction` of each label, at least one row, goes to the second
// part; out-of-scope rows are divided like a label. A row of several labels goes with its rarest.
struct Split {
  std::vector<std::size_t> first, second;  // row numbers, ascending
};
Split split_by_content(const Dataset& data, double fraction, std::uint64_t seed);

// How many rows have each label.
std::vector<std::size_t> rows_of_labels(const Dataset& data);

// How many texts of `test` also stand in `train` (by the same normalisation).
std::size_t count_overlap(const Dataset& train, const Dataset& test);

// The rows of `data` whose text stands in none of the others (by the same normalisation),
// ascending.
std::vector<std::size_t> rows_apart_from(const Dataset& data,
                                         std::span<const Dataset* const> others);

}  // namespace tack
