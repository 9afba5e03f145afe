// One connection of the load generator: sends requests that are bytes already and reads answers
// with as little work as possible, since it shares its cores with what it measures.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <netinet/in.h>

namespace tack::load {

using Clock = std::chrono::steady_clock;

class Connection {
 public:
  enum class Progress : std::uint8_t { kWaiting, kAnswered, kBroken };

  explicit Connection(const sockaddr_in& server) : server_(server) {}
  ~Connection() { close(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Opens the socket where there is none and sends. False when that is not possible.
  bool send(std::string_view request);
  // The socket is writable or readable.
  Progress writable();
  Progress readable();
  void close();

  int fd() const { return fd_; }
  bool wants_write() const { return !out_.empty(); }
  bool opened_now() { return std::exchange(opened_now_, false); }  // to be registered

  // Of the last answer.
  int status() const { return status_; }
  bool done_marker() const { return tail_.find("data: [DONE]") != tail_.npos; }
  std::uint64_t reads() const { return reads_; }  // that brought bytes, since the start
  std::uint64_t body_bytes() const { return body_bytes_; }
  Clock::time_point first_byte() const { return first_byte_; }  // of the body

  Clock::time_point scheduled{};  // when the request was due

 private:
  enum class Part : std::uint8_t { kHead, kBody, kChunkHead, kChunk, kChunkEnd, kTrailer, kDone };
  bool take_head(std::string_view& bytes);
  void take(std::string_view bytes);
  void take_line_end(std::string_view& bytes);
  void body(std::string_view bytes);

  const sockaddr_in server_;
  int fd_ = -1;
  bool opened_now_ = false, close_after_ = false;
  std::string out_;  // not sent yet

  Part part_ = Part::kDone;
  std::string head_, line_, tail_;
  int status_ = 0;
  std::uint64_t left_ = 0, body_bytes_ = 0, reads_ = 0;
  Clock::time_point first_byte_{};
};

}  // namespace tack::load
