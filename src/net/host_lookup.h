// The addresses of one host. Internal to net.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <boost/asio/ip/tcp.hpp>

#include "net/async.h"
#include "net/client_error.h"
#include "net/departure.h"

namespace tack::net {

// Looks the host up when asked and remembers the answer for a while. Requests that come while one
// look-up runs wait for that one. Any thread.
class HostLookup : public std::enable_shared_from_this<HostLookup> {
 public:
  using Endpoints = std::vector<boost::asio::ip::tcp::endpoint>;

  HostLookup(std::string host, std::uint16_t port, std::chrono::milliseconds keep);

  // Not later than `deadline`, also when the name service hangs.
  Async<ClientResult<Endpoints>> find(std::chrono::steady_clock::time_point deadline,
                                      std::shared_ptr<Departure> departure);
  // The addresses did not work: look again next time.
  void forget();

 private:
  struct Question;
  void settle(const std::shared_ptr<Question>& question);  // with the mutex held
  void ask(const boost::asio::any_io_executor& executor, std::shared_ptr<Question> question);

  const std::string host_;
  const std::uint16_t port_;
  const std::chrono::milliseconds keep_;
  std::mutex mutex_;
  Endpoints known_;
  std::chrono::steady_clock::time_point known_until_{};
  std::shared_ptr<Question> asked_;
};

}  // namespace tack::net
