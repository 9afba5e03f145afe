// What an upstream's failure means: for the client, for another try, and for the upstream's good
// name.
#pragma once

#include <string>
#include <string_view>

#include "gateway/call.h"
#include "net/client_error.h"

namespace tack::gateway {

// A try that gave no answer.
struct FailedTry {
  Failure failure;
  bool retry = false;    // the same request may work in a moment
  bool breaks = false;   // counts against the upstream: the circuit breaker
  bool at_once = false;  // the retry is another request than the one that failed
};

// No connection, or no whole answer on it. `upstream`: its name.
FailedTry failed_exchange(std::string_view upstream, const net::ClientError& error);

// An answer of another status than 200. `body`: what came with it, JSON or not; the message, type,
// code and param of an error object pass on to the client, whatever the shape it came in.
FailedTry failed_status(std::string_view upstream, int status, const net::Headers& headers,
                        std::string_view body);

// An answer that is none: no JSON, no events, cut off in an orderly way.
FailedTry failed_answer(std::string_view upstream, std::string_view why);

// An error object within an answer of status 200. `json`: the object that holds "error".
FailedTry failed_inside(std::string_view upstream, std::string_view json);

}  // namespace tack::gateway
