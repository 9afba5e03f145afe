// Result<T>, Status and Error: how every fallible function of Tackhammer reports.
//
// An Error's message is one line for the person at the terminal: what went wrong, where (file,
// line, offset, key), and what to do. Its code is also the exit code of the process.
#pragma once

#include <expected>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace tack {

// The values are exit codes of the command line (docs/cli.md).
enum class ErrorCode : int {
  kFailed = 1,        // failed while running: broken file, full disk, ...
  kUsage = 2,         // the caller's arguments or configuration are wrong
  kNotFound = 3,      // a file, model, column, label ... does not exist
  kUnreachable = 4,   // a network peer or port cannot be used
  kRefused = 5,       // a gate or guard refused
  kInterrupted = 130  // SIGINT or SIGTERM
};

struct [[nodiscard]] Error {
  ErrorCode code = ErrorCode::kFailed;
  std::string message;

  // The same error, with "context: " in front. Example: "model.gguf: tensor 'x': ...".
  Error in(std::string_view context) && {
    message.insert(0, ": ").insert(0, context);
    return std::move(*this);
  }
};

template <class T>
using Result = std::expected<T, Error>;
using Status = std::expected<void, Error>;

template <class... Args>
std::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}
template <class... Args>
std::unexpected<Error> fail(fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(
      Error{ErrorCode::kFailed, fmt::format(format, std::forward<Args>(args)...)});
}

}  // namespace tack

#define TACK_CONCAT_(a, b) a##b
#define TACK_CONCAT(a, b) TACK_CONCAT_(a, b)

// TACK_TRY(auto x, f());   declares or assigns x from a Result, or returns its error.
#define TACK_TRY(target, ...) TACK_TRY_(TACK_CONCAT(tack_result_, __COUNTER__), target, __VA_ARGS__)
#define TACK_TRY_(tmp, target, ...)                         \
  auto tmp = (__VA_ARGS__);                                 \
  if (!tmp) return std::unexpected(std::move(tmp).error()); \
  target = *std::move(tmp)

// TACK_RETURN_IF_ERROR(f());   for Status (or to drop a Result's value).
#define TACK_RETURN_IF_ERROR(...)                              \
  do {                                                         \
    if (auto tack_status_ = (__VA_ARGS__); !tack_status_)      \
      return std::unexpected(std::move(tack_status_).error()); \
  } while (false)
