// A small HTTP/1.1 client for upstreams and tests: plain and TLS, one connection a request, no
// redirects, no proxies.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/http.h"
#include "net/url.h"

namespace tack::net {

struct ClientRequest {
  std::string method = "GET";
  std::string url;  // http://host[:port]/path or https://...
  Headers headers;
  std::string body;
};

struct ClientOptions {
  std::chrono::milliseconds connect_timeout{10'000};  // look-up, connection and TLS together
  std::chrono::milliseconds io_timeout{60'000};       // for the next bytes to go or come
  std::chrono::milliseconds total_timeout{0};         // for the whole exchange; 0: no limit
  std::size_t body_limit = 64 * 1024 * 1024;
  std::string ca_file;  // trusted certificates (PEM); empty: the system's
};

// Sends a request from the coroutine's executor. An answer of any status is a value; the error is
// kUnreachable when the peer cannot be reached, breaks off, is too slow or shows a certificate that
// does not fit, kUsage for a bad URL.
Async<Result<Response>> fetch(ClientRequest request, ClientOptions options = {});

// The same, but hands each piece of the body to `on_data` as it comes (the returned body is empty);
// `on_data` returns false to break off, which is not an error.
using OnData = std::function<bool(const Response& head, std::string_view bytes)>;
Async<Result<Response>> fetch_stream(ClientRequest request, OnData on_data,
                                     ClientOptions options = {});

// For threads without a loop of their own: runs fetch() on a private one.
Result<Response> fetch_blocking(ClientRequest request, ClientOptions options = {});

}  // namespace tack::net
