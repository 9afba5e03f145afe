#include "net/router.h"

#include <algorithm>
#include <cassert>
#include <exception>

#include "base/log.h"

namespace tack::net {
namespace {

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> segments;
  while (!path.empty()) {
    path.remove_prefix(1);  // the '/'
    const std::string_view segment = path.substr(0, path.find('/'));
    segments.emplace_back(segment);
    path.remove_prefix(segment.size());
  }
  return segments;
}

bool is_parameter(std::string_view segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}

bool matches(const std::vector<std::string>& pattern, const std::vector<std::string>& path) {
  return std::ranges::equal(pattern, path, [](const std::string& want, const std::string& have) {
    return is_parameter(want) ? !have.empty() : want == have;
  });
}

// Orders patterns that match the same path: what is written out first comes first.
bool more_specific(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return std::ranges::lexicographical_compare(a, b, {}, is_parameter, is_parameter);
}

}  // namespace

void Router::add(std::string_view method, std::string_view pattern, Handler handler) {
  assert(pattern.starts_with('/') && handler);
  Route route{std::string(method), split_path(pattern), std::move(handler)};
  const auto place = std::ranges::find_if(
      routes_, [&](const Route& other) { return more_specific(route.segments, other.segments); });
  routes_.insert(place, std::move(route));
}

std::vector<std::pair<std::string, std::string>> Router::routes() const {
  std::vector<std::pair<std::string, std::string>> all;
  for (const Route& route : routes_) {
    std::string pattern;
    for (const std::string& segment : route.segments) pattern.append("/").append(segment);
    all.emplace_back(route.method, pattern.empty() ? "/" : pattern);
  }
  return all;
}

Response Router::error(int status, std::string_view message) const {
  if (error_body_) return error_body_(status, message);
  return Response::text(status, std::string(message) + "\n");
}

Async<Response> Router::route(Request request) const {
  const std::vector<std::string> path = split_path(request.path);
  const std::string_view asked = request.method;
  const std::string_view method = asked == "HEAD" ? std::string_view("GET") : asked;
  const Route* found = nullptr;
  std::string allow;
  for (const Route& route : routes_) {
    if (!matches(route.segments, path)) continue;
    if (route.method == method || route.method == asked) {
      found = &route;
      break;
    }
    if (allow.find(route.method) != allow.npos) continue;
    allow.append(allow.empty() ? "" : ", ").append(route.method);
    if (route.method == "GET") allow.append(", HEAD");
  }
  if (!found && allow.empty())
    co_return error(404, fmt::format("no such path: {} {}", request.method, request.path));
  if (!found) {
    Response response =
        error(405, fmt::format("{} takes {}, not {}", request.path, allow, request.method));
    response.headers.set("Allow", allow);
    co_return response;
  }
  for (std::size_t i = 0; i < path.size(); ++i) {
    const std::string& segment = found->segments[i];
    if (is_parameter(segment)) request.params[segment.substr(1, segment.size() - 2)] = path[i];
  }
  try {
    co_return co_await found->handler(std::move(request));
  } catch (const std::exception& error_thrown) {
    log_error("a handler failed: {}", error_thrown.what());
  }
  co_return error(500, "internal error");
}

}  // namespace tack::net
