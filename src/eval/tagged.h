// Tagged texts: rows whose text has named spans, and perhaps a label for the whole.
//
//   JSON lines  {"text": "...", "spans": [{"start": 0, "end": 5, "label": "city"}, ...]}, where
//   start
//               and end count characters, or {"tokens": ["..."], "tags": ["B-city", ...]}
//   CoNLL       one word and its tag a line (the first and the last column), texts apart by an
//   empty
//               line (.conll, .bio, .iob2)
//   directory   seq.in (one text a line), seq.out (a tag for each word), label: joint intents and
//   slots
//
// Tags are BIO; BILOU's and BIOES's are read as such. Words are joined by one space.
#pragma once

#include "eval/dataset.h"

namespace tack {

// As read_dataset(), for a source with `spans`. A label is read when source.label is not empty.
// Errors: also spans that overlap or lie outside their text, tags without a word, an unknown tag.
Result<Dataset> read_tagged(const DataSource& source, const std::vector<std::string>& known_labels);
// The same over a file's text; source.path stands in error messages.
Result<Dataset> parse_tagged(std::string_view text, const DataSource& source,
                             const std::vector<std::string>& known_labels);

}  // namespace tack
