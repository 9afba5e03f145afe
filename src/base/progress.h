// A progress bar on standard error, for a person: on a terminal drawn at most ten times a second
// and erased when done. In a log file or a pipe only stages are written, a line each. NO_COLOR is
// honoured.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace tack {

class Progress {
 public:
  // total <= 0: unknown; then only the count and the rate are shown.
  Progress(std::string label, std::int64_t total, std::string unit = "rows");
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void advance(std::int64_t by = 1);
  // Done by an earlier run: not part of the rate.
  void skip(std::int64_t count);
  // Stands behind the numbers until it is replaced.
  void note(std::string text) { note_ = std::move(text); }
  // A note that is worth a line of its own in a log.
  void stage(std::string text);
  void finish();

 private:
  std::string numbers() const;
  void draw();

  const std::string label_;
  const std::int64_t total_;
  const std::string unit_;
  const bool visible_;
  std::string note_;
  std::int64_t done_ = 0, skipped_ = 0;
  std::chrono::steady_clock::time_point start_, last_draw_;
};

// Whether standard output / error is a terminal that wants colour.
bool stdout_is_terminal();
bool stderr_is_terminal();
bool colour_wanted();

}  // namespace tack
