// Logging (spdlog) to standard error: `log_info("listening on {}", port)`. Level from TACK_LOG
// (trace, debug, info, warn, error, off), default info. Never log a user's text above debug.
#pragma once

#include <spdlog/spdlog.h>

namespace tack {

// Sets pattern and level; call once from main().
void init_logging();

template <class... Args>
void log_debug(spdlog::format_string_t<Args...> f, Args&&... args) {
  spdlog::debug(f, std::forward<Args>(args)...);
}
template <class... Args>
void log_info(spdlog::format_string_t<Args...> f, Args&&... args) {
  spdlog::info(f, std::forward<Args>(args)...);
}
template <class... Args>
void log_warn(spdlog::format_string_t<Args...> f, Args&&... args) {
  spdlog::warn(f, std::forward<Args>(args)...);
}
template <class... Args>
void log_error(spdlog::format_string_t<Args...> f, Args&&... args) {
  spdlog::error(f, std::forward<Args>(args)...);
}

}  // namespace tack
