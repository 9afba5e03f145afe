// What the verbs share: common options, texts in, lines out.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/command.h"
#include "eval/rows.h"
#include "models/model.h"

namespace tack {

// The model argument every verb takes: first positional, or --model.
Option add_model_option(Command& verb, std::string& model, const std::string& help);
Option add_threads_option(Command& verb, int& threads);

// Where texts come from: a column of a data file, or lines of standard input ("-" or nothing).
struct TextInput {
  std::string path, column, format = "auto";
};
// What the task that a model was built for says under [data] `key`, or for a head of that name (of
// several without one: the first); "" when it says nothing.
std::string task_data(const Model& model, const char* key, std::string_view head = "");
// Declares the positional `input`, --text and --format.
void add_text_input(Command& verb, TextInput& input);
// Rows of one field. The column, when not given, is the one that `model` was built on, or the first
// of the usual names. kUsage when the input would be a terminal: a person forgot the file.
Result<std::unique_ptr<RowReader>> open_texts(const TextInput& input, const Model& model);
// The same without a model; `column` is looked for before the usual names, when not empty.
Result<std::unique_ptr<RowReader>> open_texts(const TextInput& input, const std::string& column);
// Appends up to `most` texts; false when the input has ended.
Result<bool> read_texts(RowReader& rows, std::size_t most, std::vector<std::string>& texts);

// Standard input whole. An error says that the `what` is longer than `limit` bytes.
Result<std::string> read_standard_input(std::string_view what, std::size_t limit);

// Writes text to standard output at once, for who watches it come. kFailed as print_line().
Status print_text(std::string_view text);
// Writes a line to standard output. kFailed when it cannot be written (full disk, closed pipe).
Status print_line(std::string_view line);

// "3 of 100 texts were longer than 256 tokens; 41 tokens were cut": on standard error, when any.
void warn_truncated(std::int64_t texts, std::int64_t cut_texts, std::int64_t cut_tokens,
                    std::int64_t limit);

std::vector<std::string_view> views(const std::vector<std::string>& strings);

}  // namespace tack
