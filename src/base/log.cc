#include "base/log.h"

#include <cstdlib>

#include <spdlog/sinks/stdout_color_sinks.h>

namespace tack {

void init_logging() {
  auto logger = spdlog::stderr_color_mt("tack");
  logger->set_pattern("%H:%M:%S.%e %^%l%$ %v");
  spdlog::set_default_logger(logger);
  const char* level = std::getenv("TACK_LOG");
  spdlog::set_level(level && *level ? spdlog::level::from_str(level) : spdlog::level::info);
}

}  // namespace tack
