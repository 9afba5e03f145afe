// Reads an event stream (text/event-stream, WHATWG HTML 9.2) as its bytes come.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tack::gateway {

// Both views hold until the next call of the reader.
struct SseEvent {
  std::string_view name;  // "" without an "event:" field
  std::string_view data;  // lines joined by "\n"
};

// Feed bytes, then take events until there are no more, and so on. Comments and fields that it does
// not know are skipped; a line that cannot be one of an event stream (a page, plain JSON) is an
// error, since a server that streams something else shall be found out before it has sent all.
class SseReader {
 public:
  explicit SseReader(std::size_t event_limit = 8 * 1024 * 1024) : limit_(event_limit) {}

  void feed(std::string_view bytes);
  // No more bytes will come: an event that lacks only its blank line counts.
  void end() { ended_ = true; }

  // nullopt: more bytes are needed. Errors (kFailed) are final: too long, not an event stream.
  Result<std::optional<SseEvent>> next();

 private:
  std::optional<std::string_view> next_line();
  Status take_field(std::string_view line);
  void begin_event();
  bool start();

  const std::size_t limit_;
  std::string buffer_;
  std::size_t event_begin_ = 0;  // of the event that is being read
  std::size_t at_ = 0;           // where the next line begins
  std::size_t scanned_ = 0;      // no line ends before
  bool skip_newline_ = false, started_ = false, ended_ = false;

  // Of the event. A single line of data stays where it is, in the buffer.
  std::size_t data_lines_ = 0, data_begin_ = 0, data_size_ = 0;
  std::string name_, joined_;
  bool given_ = false;  // next() has returned it
};

}  // namespace tack::gateway
