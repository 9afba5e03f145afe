#include "base/log.h"

#include <cstdlib>

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace tack {
namespace {

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

void init_logging() {
  auto logger = spdlog::stderr_color_mt("tack");
  logger->set_pattern("%H:%M:%S.%e %^%l%$ %v");
  spdlog::set_default_logger(logger);
  const char* level = std::getenv("TACK_LOG");
  spdlog::set_level(level && *level ? spdlog::level::from_str(level) : spdlog::level::info);
}

bool log_enabled(LogLevel level) {
  return spdlog::should_log(spdlog_level(level));
}

void log_line(LogLevel level, fmt::string_view format, fmt::format_args args) {
  if (log_enabled(level))
    spdlog::default_logger_raw()->log(spdlog_level(level), fmt::vformat(format, args));
}

}  // namespace tack
