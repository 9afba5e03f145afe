// For tests: a client of POSIX calls that writes byte by byte what the test says.
#pragma once

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace tack::net {

class RawClient {
 public:
  explicit RawClient(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  RawClient(RawClient&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_) {}
  ~RawClient() { close(); }

  bool connected() const { return connected_; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  // Closes so that the peer gets a reset instead of an orderly end.
  void reset_connection() {
    const linger now{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
  }
  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  // Everything until `done(text)` holds, the server closes (eof() then) or five seconds pass.
  template <class Done>
  std::string read_until(Done done) {
    std::string& text = pending_;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (!done(text) && std::chrono::steady_clock::now() < end) {
      pollfd wait{fd_, POLLIN, 0};
      if (::poll(&wait, 1, 100) == 0) continue;
      char piece[4096];
      const ssize_t bytes = ::recv(fd_, piece, sizeof piece, 0);
      if (bytes <= 0) {
        eof_ = true;
        reset_ = bytes < 0 && errno == ECONNRESET;
        break;
      }
      text.append(piece, static_cast<std::size_t>(bytes));
    }
    return std::exchange(pending_, "");
  }
  std::string read_all() {
    return read_until([](const std::string&) { return false; });
  }
  // One response with Content-Length; what follows it stays for the next call.
  std::string read_response() {
    std::size_t size = 0;
    std::string text = read_until([&](const std::string& have) {
      const std::size_t head = have.find("\r\n\r\n");
      if (head == have.npos) return false;
      const std::size_t length = have.find("Content-Length: ");
      size = head + 4 + (length < head ? std::stoul(have.substr(length + 16)) : 0);
      return have.size() >= size;
    });
    if (text.size() > size) {
      pending_ = text.substr(size);
      text.resize(size);
    }
    return text;
  }
  bool eof() const { return eof_; }
  bool reset() const { return reset_; }

 private:
  int fd_;
  bool connected_ = false, eof_ = false, reset_ = false;
  std::string pending_;
};

inline int status_of(std::string_view response) {
  return response.starts_with("HTTP/1.1 ") ? std::stoi(std::string(response.substr(9, 3))) : -1;
}

}  // namespace tack::net
