// What the verbs share: texts line by line from a file or standard input, and results on standard
// output.
#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/result.h"

namespace tack {

// The model argument every verb takes: first positional, or --model.
CLI::Option* add_model_option(CLI::App& verb, std::string& model, const std::string& help);
CLI::Option* add_threads_option(CLI::App& verb, int& threads);

// Lines of a text file; "-" or "" is standard input. CR LF counts as LF.
class LineReader {
 public:
  // kUsage when the input would be a terminal: a person forgot the file.
  static Result<LineReader> open(const std::string& path);

  // The next line without its end; nothing at the end of the input. Errors: a read failure; a line
  // over 16 MiB.
  Result<std::optional<std::string>> next();
  // Up to `most` lines; an empty vector at the end.
  Result<std::vector<std::string>> batch(std::size_t most);

 private:
  struct Close {
    void operator()(std::FILE* file) const {
      if (file != stdin) std::fclose(file);
    }
  };
  std::unique_ptr<std::FILE, Close> file_;
  std::string name_;
  std::size_t line_ = 0;
};

// Writes a line to standard output. kFailed when it cannot be written (full disk, closed pipe).
Status print_line(std::string_view line);

// "3 of 100 texts were longer than 256 tokens; 41 tokens were cut": on standard error, when any.
void warn_truncated(std::int64_t texts, std::int64_t cut_texts, std::int64_t cut_tokens,
                    std::int64_t limit);

std::vector<std::string_view> views(const std::vector<std::string>& strings);

}  // namespace tack
