#include "cli/lines.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <unistd.h>

#include "base/log.h"

namespace tack {

Option add_model_option(Command& verb, std::string& model, const std::string& help) {
  return verb.option("model,--model,-m", model, help).environment("TACK_MODEL");
}

Option add_threads_option(Command& verb, int& threads) {
  return verb.option("--threads,-t", threads, "Threads that compute; 0: all cores")
      .environment("TACK_THREADS")
      .range(0, 1024)
      .show_default();
}

void add_text_input(Command& verb, TextInput& input) {
  verb.option("input", input.path,
              "CSV, TSV, JSONL, JSON or text file; default: lines of standard input");
  verb.option("--text", input.column, "Column of the text");
  verb.option("--format", input.format, "Of the input: auto, csv, tsv, jsonl, json or text")
      .show_default();
}

std::string task_data(const Model& model, const char* key, std::string_view head) {
  const Json* task = model.tack_metadata("task");
  if (task == nullptr) return "";
  const Json* of = task;
  if (const auto heads = task->find("heads"); heads != task->end() && heads->is_array())
    for (const Json& one : *heads)
      if (one.is_object() && (head.empty() ? of == task : one.value("name", Json()) == head))
        of = &one;
  const auto data = of->find("data");
  return data != of->end() && data->contains(key) && (*data)[key].is_string()
             ? (*data)[key].get<std::string>()
             : "";
}

Result<std::unique_ptr<RowReader>> open_texts(const TextInput& input, const Model& model) {
  return open_texts(input, task_data(model, "text"));
}

Result<std::unique_ptr<RowReader>> open_texts(const TextInput& input, const std::string& column) {
  TACK_TRY(RowFormat format, parse_row_format(input.format));
  std::vector<std::string> names = {"text", "sentence", "utterance", "query", "message"};
  if (!column.empty()) names.insert(names.begin(), column);
  if (input.path.empty() || input.path == "-") {
    if (input.path.empty() && isatty(STDIN_FILENO) == 1)
      return fail(ErrorCode::kUsage,
                  "no input: name a file, pipe text in, or say - for the keyboard");
    if (format == RowFormat::kAuto) format = RowFormat::kText;
    return RowReader::open("-", {input.column.empty() ? names.front() : input.column}, format);
  }
  std::string wanted = input.column;
  if (wanted.empty()) {
    TACK_TRY(wanted, guess_column(input.path, format, names));
    if (wanted.empty()) wanted = names.front();  // the error then names the columns there are
  }
  return RowReader::open(input.path, {wanted}, format);
}

Result<bool> read_texts(RowReader& rows, std::size_t most, std::vector<std::string>& texts) {
  std::vector<std::string> fields;
  while (texts.size() < most) {
    TACK_TRY(const bool any, rows.next(fields));
    if (!any) return false;
    texts.push_back(std::move(fields[0]));
  }
  return true;
}

Result<std::string> read_standard_input(std::string_view what, std::size_t limit) {
  std::string text;
  char buffer[1 << 16];
  while (const std::size_t read = std::fread(buffer, 1, sizeof buffer, stdin)) {
    text.append(buffer, read);
    if (text.size() > limit)
      return fail("standard input: the {} is longer than {} MiB", what, limit >> 20U);
  }
  return text;
}

Status print_text(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (std::fflush(stdout) != 0) return fail("cannot write to standard output");
  return {};
}

Status print_line(std::string_view line) {
  if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size() || std::putchar('\n') == EOF)
    return fail("standard output: {}", std::strerror(errno));
  return {};
}

void warn_truncated(std::int64_t texts, std::int64_t cut_texts, std::int64_t cut_tokens,
                    std::int64_t limit) {
  if (cut_texts > 0)
    log_warn("{} of {} texts were longer than the {} tokens the model takes; {} tokens were cut",
             cut_texts, texts, limit, cut_tokens);
}

std::vector<std::string_view> views(const std::vector<std::string>& strings) {
  return {strings.begin(), strings.end()};
}

}  // namespace tack
