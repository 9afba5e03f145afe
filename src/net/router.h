// Which handler answers which method and path.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/http.h"

namespace tack::net {

using Handler = std::function<Async<Response>(Request)>;

// Patterns are paths whose segments may be {names}: "/v1/models/{id}". A segment that is written
// out wins over a {name}; a {name} takes exactly one segment, not empty. Filled before the server
// starts, read-only (and so thread-safe) after.
class Router {
 public:
  // asserts that the pattern starts with '/'.
  void add(std::string_view method, std::string_view pattern, Handler handler);

  // Method and pattern of each route.
  std::vector<std::pair<std::string, std::string>> routes() const;

  // Shapes the bodies of 404 and 405 (and all errors the server itself makes) for this API.
  using ErrorBody = std::function<Response(int status, std::string_view message)>;
  void set_error_body(ErrorBody make) { error_body_ = std::move(make); }
  Response error(int status, std::string_view message) const;

  // Answers the request: the route's handler (HEAD uses GET's), or 404, or 405 with Allow. A
  // handler that throws becomes a 500.
  Async<Response> route(Request request) const;

 private:
  struct Route {
    std::string method;
    std::vector<std::string> segments;
    Handler handler;
  };
  std::vector<Route> routes_;
  ErrorBody error_body_;
};

}  // namespace tack::net
