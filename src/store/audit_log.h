// Records on their way to the audit log: handed over without waiting, written and synced by one
// thread, many with one sync.
//
// A record counts as written when it is durable. A killed process loses what waits, about the last
// 50 ms; one that stops in order loses nothing. Who must not go on before its record is durable
// (a request that is about to leave the machine) says what is to happen then: such records are
// written at once, together with all that wait.
//
// While the disk cannot be written to, records wait and the thread tries again; callers who wait
// for theirs are told the error at once, and the record stays in the queue, since what it says
// has happened. When too many wait, the next ones are lost, and a record "dropped" counts them.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/result.h"
#include "store/audit_file.h"

namespace tack::store {

struct AuditOptions {
  std::filesystem::path file;
  std::uint64_t max_bytes = 0;             // then it goes on in a new file; 0: never
  bool verify_all = false;                 // when it is opened
  std::size_t queue = 65536;               // records that wait, at most
  std::size_t batch = 256;                 // that wait: written without waiting for more
  std::chrono::milliseconds interval{50};  // between batches that are not full
  std::chrono::milliseconds first_pause{50}, most_pause{5'000};  // after an error, doubling
};

struct AuditCounters {
  std::uint64_t written = 0;  // durable
  std::uint64_t dropped = 0;  // lost: the queue was full, or the end came too soon
  std::uint64_t waiting = 0;  // now
  std::uint64_t errors = 0;   // failed attempts to write
  std::uint64_t syncs = 0;
};

class AuditLog {
 public:
  // Called once, by the writer's thread (or by append() itself, when the record cannot be kept):
  // it must be quick and must not throw. An error: it is not durable, do not go on.
  using OnDurable = std::function<void(const Status&)>;

  // Errors of AuditFile::open(): above all kRefused for a damaged file.
  static Result<std::unique_ptr<AuditLog>> open(const AuditOptions& options, const AuditKey& key);
  // As stop() with five seconds.
  ~AuditLog();
  AuditLog(const AuditLog&) = delete;
  AuditLog& operator=(const AuditLog&) = delete;

  // From any thread; waits for nobody. The record's time is now unless it has one.
  void append(AuditRecord record, OnDurable on_durable = {});
  // The same, and waits: for commands and tests, not for the threads of connections.
  Status append_durably(AuditRecord record);

  // Of a content, for AuditRecord::hashes. Any thread.
  std::string digest(std::string_view content) const { return key_.digest(content); }

  // Writes what waits, as far as the disk lets it until the deadline, and ends the thread. True
  // when nothing was lost. What is appended from then on is lost, and says so.
  bool stop(std::chrono::steady_clock::time_point deadline);

  // From any thread.
  AuditHead head() const;
  AuditCounters counters() const;

 private:
  using Clock = std::chrono::steady_clock;

  AuditLog(AuditFile file, const AuditOptions& options, const AuditKey& key);
  // Of the writer's thread.
  void run();
  void wait(std::unique_lock<std::mutex>& lock);
  bool collect();
  void write_batch();
  Status write() noexcept;
  void tell(const Status& status);
  void finish();
  bool urgent() const;
  bool too_late() const { return stopping_ && Clock::now() >= deadline_; }

  const AuditOptions options_;
  const AuditKey key_;

  mutable std::mutex mutex_;  // guards what follows, up to counters_
  std::condition_variable wake_;
  std::vector<AuditRecord> submitted_;
  std::vector<OnDurable> callers_;  // who wait for some of submitted_
  std::size_t in_batch_ = 0;        // taken by the writer, not yet durable
  std::uint64_t lost_ = 0;          // dropped, and not yet said in the log
  bool parked_ = false, stopping_ = false;
  Clock::time_point deadline_;
  AuditHead head_;
  AuditCounters counters_;

  // The writer's own.
  AuditFile file_;
  std::vector<AuditRecord> batch_;
  std::vector<OnDurable> batch_callers_;
  std::chrono::milliseconds backoff_{0};  // 0: the last write succeeded
  bool complete_ = true;                  // read when the thread has ended
  std::thread thread_;
};

}  // namespace tack::store
