#include "base/thread_pool.h"

#include <chrono>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tack {
namespace {

// Spinning covers the gap between the stages of one forward pass (microseconds) and between
// back-to-back requests; longer gaps are not worth a busy core.
constexpr int kSpins = 20000;  // about 0.2-0.4 ms of pauses

inline void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

void SpinBarrier::arrive_and_wait() {
  if (parties_ == 1) return;
  const std::uint32_t phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == parties_ - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.store(phase + 1, std::memory_order_release);
    phase_.notify_all();
    return;
  }
  for (int spin = 0; phase_.load(std::memory_order_acquire) == phase; ++spin) {
    if (spin < kSpins)
      pause();
    else
      phase_.wait(phase, std::memory_order_acquire);  // more workers than free cores
  }
}

ThreadPool::ThreadPool(int threads) : size_(threads < 1 ? 1 : threads), barrier_(size_) {
  threads_.reserve(static_cast<std::size_t>(size_ - 1));
  try {
    for (int worker = 1; worker < size_; ++worker)
      threads_.emplace_back([this, worker] { worker_loop(worker); });
  } catch (...) {  // the system gives no more threads: those there are wait, and would for ever
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() {
  stop();
}

void ThreadPool::stop() {
  stop_.store(true, std::memory_order_release);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
}

void ThreadPool::run(const std::function<void(int)>& work) {
  if (size_ == 1) {
    work(0);
    return;
  }
  work_ = &work;
  pending_.store(size_ - 1, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) > 0) generation_.notify_all();
  work(0);
  for (int spin = 0;; ++spin) {
    const int pending = pending_.load(std::memory_order_acquire);
    if (pending == 0) return;
    if (spin < kSpins)
      pause();
    else
      pending_.wait(pending, std::memory_order_acquire);
  }
}

void ThreadPool::worker_loop(int worker) {
  std::uint32_t seen = 0;
  while (true) {
    for (int spin = 0; spin < kSpins && generation_.load(std::memory_order_acquire) == seen; ++spin)
      pause();
    if (generation_.load(std::memory_order_acquire) == seen) {
      sleepers_.fetch_add(1, std::memory_order_seq_cst);
      generation_.wait(seen, std::memory_order_seq_cst);
      sleepers_.fetch_sub(1, std::memory_order_seq_cst);
    }
    if (stop_.load(std::memory_order_acquire)) return;
    if (generation_.load(std::memory_order_acquire) == seen) continue;
    ++seen;
    (*work_)(worker);
    if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) pending_.notify_one();
  }
}

void ThreadPool::parallel_for(std::int64_t count, const std::function<void(std::int64_t)>& body) {
  std::atomic<std::int64_t> next{0};
  run([&](int) {
    for (std::int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) body(i);
  });
}

}  // namespace tack
