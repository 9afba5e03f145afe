// Whether the client that waits for an answer is still there.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace tack::net {

// The token that a Request carries. All but gone() belongs to the strand of the connection, where
// its handler runs too. Costs nothing until somebody watches.
//
// A client that closes only its sending side counts as gone, as with other servers. One that has
// sent its next request already is not watched any further: its end would stand behind those bytes.
class Departure : public std::enable_shared_from_this<Departure> {
 public:
  using Callback = std::move_only_function<void()>;

  // As long as it lives, its callback may be called.
  class [[nodiscard]] Watch {
   public:
    Watch() = default;
    Watch(Watch&& other) noexcept
        : owner_(std::move(other.owner_)), id_(std::exchange(other.id_, 0)) {}
    Watch& operator=(Watch&& other) noexcept;
    ~Watch();

   private:
    friend class Departure;
    Watch(std::shared_ptr<Departure> owner, std::uint64_t id) : owner_(std::move(owner)), id_(id) {}
    std::shared_ptr<Departure> owner_;
    std::uint64_t id_ = 0;
  };

  // `begin_watching` is called once, when somebody first wants to know. Without one the token is
  // the caller's own: depart() cancels.
  explicit Departure(Callback begin_watching = {}) : begin_(std::move(begin_watching)) {}

  bool gone() const { return gone_.load(std::memory_order_acquire); }  // from any thread

  // Calls back once when the client leaves, or right now when it has left. The callback must not
  // block; it may destroy watches.
  Watch on_gone(Callback callback);

  // The client has left.
  void depart();
  // The answer is complete: nobody is called any more.
  void finish();

 private:
  void forget(std::uint64_t id);

  std::atomic<bool> gone_{false};
  Callback begin_;
  std::uint64_t last_id_ = 0;
  std::vector<std::pair<std::uint64_t, Callback>> callbacks_;
};

}  // namespace tack::net
