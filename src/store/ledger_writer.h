// Records on their way to the store: handed over without waiting, written by one thread in batches.
//
// A record counts as written when its transaction is committed. A killed process loses what waits,
// about the last 50 ms; a process that stops in order loses nothing. While the store cannot be
// written (full disk, lock), records wait and the thread tries again with growing pauses; when too
// many wait, the next ones are dropped and counted. Before that, when what waits is too large, the
// contents of further records are left out, and their numbers still count.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "store/retention.h"
#include "store/state_store.h"

namespace tack::store {

struct WriterOptions {
  std::size_t queue = 65536;                             // records that wait, at most
  std::uint64_t queue_bytes = std::uint64_t{256} << 20;  // of their contents
  std::size_t batch = 512;                               // records of a transaction, at most
  std::chrono::milliseconds interval{50};                // between batches that are not full
  std::chrono::milliseconds first_pause{50}, most_pause{5'000};  // after an error, doubling
  std::int64_t retention_days = 0;                               // 0: for ever
};

struct WriterCounters {
  std::uint64_t written = 0;
  std::uint64_t dropped = 0;           // lost: the queue was full, or the end came too soon
  std::uint64_t contents_dropped = 0;  // written without their request and response
  std::uint64_t waiting = 0;           // now
  std::uint64_t errors = 0;            // failed attempts to write or to remove
  std::uint64_t removed = 0;           // by retention
};

class LedgerWriter {
 public:
  LedgerWriter(std::unique_ptr<StateStore> store, const WriterOptions& options);
  // As stop() with five seconds.
  ~LedgerWriter();
  LedgerWriter(const LedgerWriter&) = delete;
  LedgerWriter& operator=(const LedgerWriter&) = delete;

  // From any thread. Waits for nobody and makes no system call (but to wake the writer when it has
  // had nothing to do for a second), and never fails: what cannot be kept is counted as dropped.
  void submit(CallRecord record) noexcept;

  // Writes what waits, as far as the store lets it until the deadline, and ends the thread. True
  // when nothing is left. What is submitted from then on is dropped. Call it when nobody submits
  // any more. A call of the store that is under way is waited for.
  bool stop(std::chrono::steady_clock::time_point deadline);

  // From any thread.
  WriterCounters counters() const;

 private:
  struct Node;
  static void release(Node* list);
  Node* take_node() noexcept;
  void give_back(Node* first, Node* last, std::size_t count);
  void drop() noexcept;
  bool stopping() const { return stopping_.load(std::memory_order_acquire); }

  // Of the writer's thread.
  void run();
  void collect();
  void fill_batch();
  bool write_batch();
  Status append() noexcept;
  void maintain();
  void report_drops();
  bool too_late() const;
  void pause(std::chrono::milliseconds time);
  void park();
  void finish();

  std::unique_ptr<StateStore> store_;
  WriterOptions options_;
  Retention retention_;

  // One line of cache: all that submit() shares with the writer but nodes.
  // What was submitted, the newest first: pushed by anyone, taken whole by the writer.
  alignas(64) std::atomic<Node*> submitted_{nullptr};
  std::atomic<std::uint64_t> waiting_{0}, waiting_bytes_{0};
  std::atomic<bool> parked_{false}, stopping_{false};

  // Another: nodes to use again. Memory that was just given back to the allocator would often have
  // to be taken from the system anew. Who submits only tries this lock.
  alignas(64) std::mutex free_mutex_;
  Node* free_ = nullptr;
  std::size_t free_count_ = 0;

  alignas(64) std::atomic<std::uint64_t> written_{0}, dropped_{0}, contents_dropped_{0};
  std::atomic<std::uint64_t> errors_{0}, removed_{0};

  // The writer's own.
  Node* oldest_ = nullptr;  // collected, in order
  Node* newest_ = nullptr;
  std::vector<CallRecord> batch_;  // not yet committed
  std::uint64_t batch_bytes_ = 0;
  std::chrono::milliseconds backoff_{0};  // 0: the last write succeeded
  bool removal_failing_ = false;
  bool dropping_ = false;
  std::uint64_t drops_seen_ = 0;
  std::chrono::steady_clock::time_point drops_seen_at_;
  bool complete_ = true;  // read when the thread has ended

  std::mutex mutex_;
  std::condition_variable wake_;
  std::chrono::steady_clock::time_point deadline_;  // written before stopping_
  std::thread thread_;
};

}  // namespace tack::store
