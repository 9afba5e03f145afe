// Logging to standard error: `log_info("listening on {}", port)`. Level from TACK_LOG (trace,
// debug, info, warn, error, off), default info. Never log a user's text above debug.
#pragma once

#include <cstdint>

#include <fmt/format.h>

namespace tack {

enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarn, kError };

// Sets pattern and level; call once from main().
void init_logging();

bool log_enabled(LogLevel level);
// What the functions below end in: not a template, so that spdlog's headers stay in log.cc.
void log_line(LogLevel level, fmt::string_view format, fmt::format_args args);

template <class... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kDebug, format, fmt::make_format_args(args...));
}
template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kInfo, format, fmt::make_format_args(args...));
}
template <class... Args>
void log_warn(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kWarn, format, fmt::make_format_args(args...));
}
template <class... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kError, format, fmt::make_format_args(args...));
}

}  // namespace tack
