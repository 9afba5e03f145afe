// For tests: a server of POSIX calls that does to each connection what the test says, byte by byte.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace tack::net {

class ScriptedServer {
 public:
  // One connection, in a thread of its own; closed when the script returns.
  class Peer {
   public:
    explicit Peer(int fd) : fd_(fd) {}
    // A request with its body (by Content-Length); "" when the client is gone.
    std::string read_request() {
      while (true) {
        const std::size_t head = have_.find("\r\n\r\n");
        if (head != have_.npos) {
          const std::size_t length = have_.find("Content-Length: ");
          const std::size_t size =
              head + 4 + (length < head ? std::stoul(have_.substr(length + 16)) : 0);
          if (have_.size() >= size) {
            std::string request = have_.substr(0, size);
            have_.erase(0, size);
            return request;
          }
        }
        if (!fill()) return "";
      }
    }
    void send(std::string_view bytes) const {
      while (!bytes.empty()) {
        const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent <= 0) return;
        bytes.remove_prefix(static_cast<std::size_t>(sent));
      }
    }
    // Until the client closes; false when it has not after five seconds.
    bool wait_for_close() {
      while (fill()) {
      }
      return closed_;
    }
    int fd() const { return fd_; }

   private:
    bool fill() {
      pollfd wait{fd_, POLLIN, 0};
      if (::poll(&wait, 1, 5'000) <= 0) return false;
      char piece[16 * 1024];
      const ssize_t bytes = ::recv(fd_, piece, sizeof piece, 0);
      closed_ = bytes <= 0;
      if (bytes > 0) have_.append(piece, static_cast<std::size_t>(bytes));
      return bytes > 0;
    }
    int fd_;
    std::string have_;
    bool closed_ = false;
  };
  // `number`: 0 for the first connection.
  using Script = std::function<void(Peer& peer, int number)>;

  explicit ScriptedServer(Script script) : script_(std::move(script)) {
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    ::listen(fd_, 64);
    socklen_t size = sizeof address;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::jthread([this] { accept_all(); });
  }
  ~ScriptedServer() {
    ::shutdown(fd_, SHUT_RDWR);
    acceptor_.join();
    peers_.clear();  // joins
    ::close(fd_);
  }

  std::uint16_t port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  int connections() const { return connections_; }

 private:
  void accept_all() {
    while (true) {
      const int peer = ::accept(fd_, nullptr, nullptr);
      if (peer < 0) return;
      peers_.emplace_back([this, peer, number = connections_++] {
        Peer handle(peer);
        script_(handle, number);
        ::close(peer);
      });
    }
  }

  Script script_;
  int fd_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<int> connections_{0};
  std::jthread acceptor_;
  std::vector<std::jthread> peers_;
};

}  // namespace tack::net
