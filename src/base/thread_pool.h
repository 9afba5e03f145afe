// One pool of workers for arithmetic.
//
// run() hands the same function to every worker and returns when all are done; the caller is worker
// 0. Between calls workers spin for a short while (a wake-up then costs well under a microsecond),
// then sleep on a futex. One run() at a time: the engine thread owns the pool.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace tack {

// A sense-reversing spin barrier for the workers of one run().
class SpinBarrier {
 public:
  explicit SpinBarrier(int parties) : parties_(parties) {}
  // Returns when all parties have arrived; what they wrote before is visible after.
  void arrive_and_wait();

 private:
  const int parties_;
  std::atomic<int> arrived_{0};
  std::atomic<std::uint32_t> phase_{0};
};

class ThreadPool {
 public:
  // threads >= 1 counts the caller: ThreadPool(1) starts no thread.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return size_; }

  // Calls work(worker) once on each worker, 0 <= worker < size(). `work` must not throw.
  void run(const std::function<void(int worker)>& work);

  // Usable inside run() by all workers together.
  SpinBarrier& barrier() { return barrier_; }

  // Calls body(i) for 0 <= i < count; workers take indices in turn.
  void parallel_for(std::int64_t count, const std::function<void(std::int64_t)>& body);

 private:
  void worker_loop(int worker);
  void stop();

  const int size_;
  SpinBarrier barrier_;
  const std::function<void(int)>* work_ = nullptr;
  std::atomic<std::uint32_t> generation_{0};
  std::atomic<int> pending_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  std::vector<std::jthread> threads_;
};

}  // namespace tack
