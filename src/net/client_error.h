// Why an exchange with a server failed, for callers that must tell the cases apart.
#pragma once

#include <cstdint>
#include <expected>

#include "base/result.h"

namespace tack::net {

enum class ClientFault : std::uint8_t {
  kNoConnection,  // the name is not known, nobody listens, or TLS failed
  kTimedOut,      // a limit of the caller's
  kBroken,        // the peer broke off, before or in its answer
  kMalformed,     // what came is not HTTP
  kTooLarge,      // the answer is longer than the caller allows
  kBusy,          // no connection became free in time, or too many requests wait for one already
  kCancelled,     // by the caller
};

// As an Error, its code is kInterrupted for kCancelled and kUnreachable for the rest.
struct ClientError : Error {
  ClientFault fault = ClientFault::kBroken;
};
template <class T>
using ClientResult = std::expected<T, ClientError>;
using ClientStatus = std::expected<void, ClientError>;

template <class... Args>
std::unexpected<ClientError> client_fail(ClientFault fault, fmt::format_string<Args...> format,
                                         Args&&... args) {
  const ErrorCode code =
      fault == ClientFault::kCancelled ? ErrorCode::kInterrupted : ErrorCode::kUnreachable;
  return std::unexpected(
      ClientError{{code, fmt::format(format, std::forward<Args>(args)...)}, fault});
}

}  // namespace tack::net
