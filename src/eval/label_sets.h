// Rows whose text has any number of labels, also none.
//
//   JSON lines, JSON  {"text": "...", "labels": ["billing", "refund"]}
//   CSV, TSV          the labels in one field, apart by DataSource::separator: billing|refund
//
// A text that stands in brackets is a JSON list in any format. Spaces around a name do not count,
// empty names are left out, and a label that stands twice counts once.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "eval/dataset.h"

namespace tack {

// As read_dataset(), for a source with `label_sets`. Errors: also a list of something else than
// texts.
Result<Dataset> read_label_sets(const DataSource& source,
                                const std::vector<std::string>& known_labels);
// The same over a file's text; source.path stands in error messages.
Result<Dataset> parse_label_sets(std::string_view text, const DataSource& source,
                                 const std::vector<std::string>& known_labels);

// The labels of one field, as they stand. `where` stands in errors.
Result<std::vector<std::string>> split_labels(const std::string& field, std::string_view separator,
                                              std::string_view where);

}  // namespace tack
