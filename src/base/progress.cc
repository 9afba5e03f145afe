#include "base/progress.h"

#include <algorithm>
#include <cstdlib>

#include <fmt/core.h>
#include <unistd.h>

namespace tack {

bool stdout_is_terminal() {
  return ::isatty(STDOUT_FILENO) == 1;
}
bool stderr_is_terminal() {
  return ::isatty(STDERR_FILENO) == 1;
}

bool colour_wanted() {
  const char* no_color = std::getenv("NO_COLOR");
  return stdout_is_terminal() && !(no_color && *no_color);
}

Progress::Progress(std::string label, std::int64_t total, std::string unit)
    : label_(std::move(label)),
      total_(total),
      unit_(std::move(unit)),
      visible_(stderr_is_terminal()),
      start_(std::chrono::steady_clock::now()) {}

Progress::~Progress() {
  finish();
}

void Progress::advance(std::int64_t by) {
  done_ += by;
  if (!visible_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - last_draw_ < std::chrono::milliseconds(100)) return;
  last_draw_ = now;
  draw();
}

void Progress::skip(std::int64_t count) {
  done_ += count;
  skipped_ += count;
}

void Progress::stage(std::string text) {
  note(std::move(text));
  if (!visible_) fmt::print(stderr, "{} {}\n", label_, numbers());
}

// How much is done, how fast, how long the rest takes, and the note.
std::string Progress::numbers() const {
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(done_ - skipped_) / seconds : 0;
  const int digits = rate < 10 ? 1 : 0;
  if (total_ <= 0) return fmt::format("{} {} ({:.{}f}/s)", done_, unit_, rate, digits);
  const double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
  const double left = rate > 0 ? static_cast<double>(total_ - done_) / rate : 0;
  return fmt::format("{:3.0f}%  {}/{} {}  {:.{}f}/s  {:.0f} s left{}{}", share * 100, done_, total_,
                     unit_, rate, digits, left, note_.empty() ? "" : "  ", note_);
}

void Progress::draw() {
  constexpr int kWidth = 24;
  std::string bar;
  if (total_ > 0) {
    const double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
    bar = fmt::format("[{:#<{}}{:.<{}}] ", "", static_cast<int>(share * kWidth), "",
                      kWidth - static_cast<int>(share * kWidth));
  }
  fmt::print(stderr, "\r\033[K{} {}{}", label_, bar, numbers());
  std::fflush(stderr);
}

void Progress::finish() {
  if (visible_ && last_draw_.time_since_epoch().count() != 0) {
    fmt::print(stderr, "\r\033[K");
    std::fflush(stderr);
  }
  last_draw_ = {};
}

}  // namespace tack
