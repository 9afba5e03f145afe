// Closes connections that stay unused too long: one timer for all pools of an I/O context. Internal
// to net.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

namespace tack::net {

// Holds idle connections. Both are called from the context's threads, or from its destructor.
class IdleOwner {
 public:
  virtual ~IdleOwner() = default;
  // Closes what is too old; true when something is left.
  virtual bool sweep(boost::asio::io_context& context,
                     std::chrono::steady_clock::time_point now) = 0;
  // The context ends: sockets must not outlive it.
  virtual void drop_all(boost::asio::io_context* context) = 0;
};

// A service of the I/O context, so that it hears of its end whoever outlives whom.
class IdleSweeper final : public boost::asio::execution_context::service {
 public:
  using key_type = IdleSweeper;
  static inline boost::asio::execution_context::id id;

  explicit IdleSweeper(boost::asio::execution_context& context);
  static IdleSweeper& of(boost::asio::io_context& context);

  // `owner` has something idle now. While it has, it is swept a few times within `keep`.
  void add(std::weak_ptr<IdleOwner> owner, std::chrono::milliseconds keep);

 private:
  void shutdown() noexcept override;
  void schedule();  // with the mutex held
  void sweep();

  std::mutex mutex_;
  std::vector<std::weak_ptr<IdleOwner>> owners_;
  std::chrono::milliseconds pause_{1'000};
  boost::asio::io_context& context_;
  boost::asio::steady_timer timer_;
  bool scheduled_ = false;
};

}  // namespace tack::net
