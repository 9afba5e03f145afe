// Rows of labelled or unlabelled text from files, one at a time: CSV (RFC 4180), TSV, JSON lines,
// JSON, plain text. Everything is checked as it is read; errors name the file and the line.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tack {

enum class RowFormat : std::uint8_t { kAuto, kCsv, kTsv, kJsonl, kJson, kText, kConll };

// kUsage naming the choices, for an unknown name ("auto", "csv", "tsv", "jsonl", "json", "text",
// "conll").
Result<RowFormat> parse_row_format(std::string_view name);

// What a list in a field of JSON is: an error, or its text ("[\"a\",\"b\"]").
enum class JsonLists : std::uint8_t { kRefused, kAsText };

class RowReader {
 public:
  virtual ~RowReader() = default;

  // Fills `fields` with the columns asked for, in that order; false at the end. Errors: a row with
  // too few or too many fields, a missing key, broken quoting, bytes that are not UTF-8, a field
  // over 16 MiB.
  virtual Result<bool> next(std::vector<std::string>& fields) = 0;
  // Where the last row began: its line, counted from 1; for JSON its number.
  std::size_t line() const { return line_; }

  // `path` "-" is standard input. kAuto goes by the extension (.csv, .tsv, .jsonl or .ndjson,
  // .json, .txt; without one, CSV). `columns` are names from the header (CSV, TSV) or keys (JSON);
  // plain text has one column, whatever its name. JSON is a list of objects, or an object of lists
  // of [text, label] pairs as CLINC150 has them: "file.json#train+oos_train" picks the lists, and
  // pairs are (columns[0], columns[1]). Errors: kNotFound for a file or list that is not there;
  // kUsage for a missing column, naming those there are.
  static Result<std::unique_ptr<RowReader>> open(const std::string& path,
                                                 const std::vector<std::string>& columns,
                                                 RowFormat format = RowFormat::kAuto,
                                                 JsonLists lists = JsonLists::kRefused);
  // The same over text in memory; `name` stands in error messages. JSON without a #fragment.
  static Result<std::unique_ptr<RowReader>> parse(std::string_view text, std::string_view name,
                                                  const std::vector<std::string>& columns,
                                                  RowFormat format,
                                                  JsonLists lists = JsonLists::kRefused);

 protected:
  std::size_t line_ = 0;
};

// An error that names file, line and byte where `text` is not UTF-8.
Status check_utf8(std::string_view text, const std::string& name, std::size_t line);

// "text" and the like: the first of the usual names that the header of a CSV, TSV or JSONL file
// has; empty when it has none. For `--text` left out.
Result<std::string> guess_column(const std::string& path, RowFormat format,
                                 const std::vector<std::string>& candidates);

}  // namespace tack
