#include "load_connection.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <utility>

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace tack::load {
namespace {

constexpr std::size_t kTail = 64;  // bytes kept of a body's end

// The value of a header, by its name in lower case.
std::string_view header(std::string_view head, std::string_view name) {
  for (std::size_t at = head.find("\r\n"); at != head.npos; at = head.find("\r\n", at + 2)) {
    const std::string_view line = head.substr(at + 2);
    if (line.size() <= name.size() || line[name.size()] != ':') continue;
    const bool same = std::equal(name.begin(), name.end(), line.begin(),
                                 [](char want, char have) { return want == (have | 0x20); });
    if (!same) continue;
    const std::string_view value =
        line.substr(name.size() + 1, line.find("\r\n") - name.size() - 1);
    return value.substr(std::min(value.find_first_not_of(' '), value.size()));
  }
  return {};
}

}  // namespace

void Connection::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  out_.clear();
  part_ = Part::kDone;
}

bool Connection::send(std::string_view request) {
  if (fd_ < 0) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const auto* address = reinterpret_cast<const sockaddr*>(&server_);
    if (::connect(fd_, address, sizeof server_) != 0 && errno != EINPROGRESS) {
      close();
      return false;
    }
    opened_now_ = true;
  }
  out_.assign(request);
  part_ = Part::kHead;
  head_.clear();
  tail_.clear();
  status_ = 0;
  body_bytes_ = 0;
  return writable() != Progress::kBroken;
}

Connection::Progress Connection::writable() {
  while (!out_.empty()) {
    const ssize_t sent = ::send(fd_, out_.data(), out_.size(), MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == ENOTCONN)) return Progress::kWaiting;
    if (sent <= 0) {
      close();
      return Progress::kBroken;
    }
    out_.erase(0, static_cast<std::size_t>(sent));
  }
  return Progress::kWaiting;
}

Connection::Progress Connection::readable() {
  char space[64 * 1024];
  const ssize_t got = ::recv(fd_, space, sizeof space, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Progress::kWaiting;
  const bool between = part_ == Part::kDone;  // the server closes a connection that is idle
  if (got <= 0 || between) {
    close();
    return between ? Progress::kWaiting : Progress::kBroken;
  }
  ++reads_;
  take({space, static_cast<std::size_t>(got)});
  if (part_ != Part::kDone) return Progress::kWaiting;
  if (close_after_) close();
  return Progress::kAnswered;
}

bool Connection::take_head(std::string_view& bytes) {
  const std::size_t before = head_.size();
  head_.append(bytes);
  const std::size_t end = head_.find("\r\n\r\n", before < 3 ? 0 : before - 3);
  if (end == head_.npos) {
    bytes = {};
    return false;
  }
  bytes.remove_prefix(end + 4 - before);
  head_.resize(end + 2);
  status_ = head_.size() > 12 ? std::atoi(head_.c_str() + 9) : 0;
  close_after_ = header(head_, "connection") == "close";
  if (header(head_, "transfer-encoding") == "chunked") {
    part_ = Part::kChunkHead;
    line_.clear();
    return true;
  }
  left_ = std::strtoull(std::string(header(head_, "content-length")).c_str(), nullptr, 10);
  part_ = left_ > 0 ? Part::kBody : Part::kDone;
  return true;
}

void Connection::body(std::string_view bytes) {
  if (body_bytes_ == 0) first_byte_ = Clock::now();
  body_bytes_ += bytes.size();
  tail_.append(bytes.substr(bytes.size() - std::min(bytes.size(), kTail)));
  if (tail_.size() > kTail) tail_.erase(0, tail_.size() - kTail);
  left_ -= bytes.size();
}

void Connection::take(std::string_view bytes) {
  while (!bytes.empty() && part_ != Part::kDone) {
    if (part_ == Part::kHead) {
      if (!take_head(bytes)) return;
    } else if (part_ == Part::kBody || part_ == Part::kChunk) {
      const std::string_view now = bytes.substr(0, left_);
      bytes.remove_prefix(now.size());
      body(now);
      if (left_ == 0) part_ = part_ == Part::kBody ? Part::kDone : Part::kChunkEnd;
    } else {
      take_line_end(bytes);
    }
  }
}

// The lines around chunks.
void Connection::take_line_end(std::string_view& bytes) {
  const std::size_t end = bytes.find('\n');
  line_.append(bytes.substr(0, end));
  bytes.remove_prefix(std::min(bytes.size(), end == bytes.npos ? end : end + 1));
  if (end == std::string_view::npos) return;
  if (part_ == Part::kChunkEnd) {
    part_ = Part::kChunkHead;
  } else if (part_ == Part::kTrailer) {
    if (line_ == "\r") part_ = Part::kDone;
  } else {
    left_ = std::strtoull(line_.c_str(), nullptr, 16);
    part_ = left_ > 0 ? Part::kChunk : Part::kTrailer;
  }
  line_.clear();
}

}  // namespace tack::load
