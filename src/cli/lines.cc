#include "cli/lines.h"

#include <cerrno>
#include <cstring>

#include <unistd.h>

#include "base/log.h"

namespace tack {

CLI::Option* add_model_option(CLI::App& verb, std::string& model, const std::string& help) {
  return verb.add_option("model,--model,-m", model, help)->envname("TACK_MODEL");
}

CLI::Option* add_threads_option(CLI::App& verb, int& threads) {
  return verb.add_option("--threads,-t", threads, "Threads that compute; 0: all cores")
      ->envname("TACK_THREADS")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
}

Result<LineReader> LineReader::open(const std::string& path) {
  LineReader reader;
  if (path.empty() || path == "-") {
    if (path.empty() && isatty(STDIN_FILENO) == 1)
      return fail(ErrorCode::kUsage,
                  "no input: name a file, pipe text in, or say - for the keyboard");
    reader.file_.reset(stdin);
    reader.name_ = "standard input";
    return reader;
  }
  reader.file_.reset(std::fopen(path.c_str(), "rbe"));
  reader.name_ = path;
  if (reader.file_ == nullptr)
    return fail(errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kFailed, "{}: {}", path,
                std::strerror(errno));
  return reader;
}

Result<std::optional<std::string>> LineReader::next() {
  constexpr std::size_t kLongest = std::size_t{16} << 20;
  std::string line;
  ++line_;
  for (int c = getc_unlocked(file_.get()); c != '\n'; c = getc_unlocked(file_.get())) {
    if (c == EOF) {
      if (std::ferror(file_.get()) != 0)
        return fail("{}: line {}: {}", name_, line_, std::strerror(errno));
      if (line.empty()) return std::nullopt;
      break;
    }
    if (line.size() >= kLongest)
      return fail("{}: line {} is longer than 16 MiB: is this a text file?", name_, line_);
    line.push_back(static_cast<char>(c));
  }
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

Result<std::vector<std::string>> LineReader::batch(std::size_t most) {
  std::vector<std::string> lines;
  while (lines.size() < most) {
    TACK_TRY(auto line, next());
    if (!line) break;
    lines.push_back(*std::move(line));
  }
  return lines;
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
