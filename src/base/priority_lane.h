// Urgent work goes first: long work gives way at its next safe point.
#pragma once

#include <atomic>

namespace tack {

class PriorityLane {
 public:
  // Held while urgent work runs.
  class Urgent {
   public:
    explicit Urgent(PriorityLane* lane) : lane_(lane) {
      if (lane_ != nullptr) lane_->urgent_.fetch_add(1);
    }
    ~Urgent() {
      if (lane_ != nullptr && lane_->urgent_.fetch_sub(1) == 1) lane_->urgent_.notify_all();
    }
    Urgent(const Urgent&) = delete;
    Urgent& operator=(const Urgent&) = delete;

   private:
    PriorityLane* lane_;
  };

  // Waits while urgent work runs. Any number of threads.
  void give_way() const {
    for (int urgent = urgent_.load(); urgent > 0; urgent = urgent_.load()) urgent_.wait(urgent);
  }

 private:
  std::atomic<int> urgent_{0};
};

}  // namespace tack
