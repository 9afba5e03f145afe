// Requests and responses as handlers see them; nothing of the HTTP library shows here.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "net/async.h"
#include "net/departure.h"

namespace tack::net {

// Header fields in the order they came. Names compare without case.
class Headers {
 public:
  // Replaces all fields of that name. Control characters in a value (a line break would start
  // another header) become spaces.
  void set(std::string_view name, std::string_view value);
  void add(std::string_view name, std::string_view value);
  // The first field of that name, or nullptr.
  const std::string* find(std::string_view name) const;

  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }
  std::size_t size() const { return fields_.size(); }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

struct Request {
  std::string method;  // "GET"
  std::string path;    // percent-decoded, without the query
  std::string query;   // after '?', as it came
  Headers headers;
  std::string body;
  std::string remote;                                      // the peer's address
  std::map<std::string, std::string, std::less<>> params;  // of the route's {names}
  std::shared_ptr<Departure> departure;                    // tells when the client leaves; the
                                                           // server always sets it

  Result<Json> json() const;  // the body; the error says line and column
  std::optional<std::string> query_param(std::string_view name) const;  // decoded
};

// Where a streaming handler writes. Lives as long as the producer runs.
class ResponseStream {
 public:
  virtual ~ResponseStream() = default;
  // Sends the bytes at once (one chunk). False when the client is gone or the server is closing:
  // the producer should return then.
  virtual Async<bool> write(std::string bytes) = 0;
};

// Writes the body piece by piece after the header has gone out.
using StreamProducer = std::function<Async<void>(ResponseStream&)>;

struct Response {
  int status = 200;
  Headers headers;
  std::string body;
  StreamProducer stream;  // when set, `body` is ignored
  // Of an event stream: a comment goes out when nothing was written for so long; 0: never.
  std::chrono::milliseconds heartbeat{0};

  static Response text(int status, std::string body);
  static Response json(int status, const Json& body);
  // For bodies that are JSON text already.
  static Response json_text(int status, std::string body);
  static Response streaming(std::string_view content_type, StreamProducer producer);
  // Server-sent events: "text/event-stream", not cached, not buffered by proxies. With a heartbeat
  // each write must be whole events, since a comment may follow it.
  static Response events(StreamProducer producer, std::chrono::milliseconds heartbeat = {});
};

// One server-sent event as bytes: each line of `data` in its own "data:" field; `event` may be "".
std::string sse_event(std::string_view data, std::string_view event = {});

std::string_view reason_phrase(int status);  // "Not Found"; "" for codes it does not know

// "%2F" to "/"; nullopt when an escape is broken or gives a NUL.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space = false);

}  // namespace tack::net
