#include "store/ledger_writer.h"

#include <algorithm>
#include <new>
#include <utility>

#include "base/log.h"

namespace tack::store {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// Without a record for so long the thread sleeps until somebody wakes it.
constexpr milliseconds kIdle{1'000};
constexpr std::chrono::minutes kDropsReported{1};
// Nodes that are kept for later: at the beginning, and at most (about two megabytes).
constexpr std::size_t kFirstNodes = 256, kMostNodes = 4096;
// Between attempts while stop() waits.
constexpr milliseconds kLastPause{200};

std::uint64_t content_bytes(const CallRecord& record) {
  return (record.request ? record.request->size() : 0) +
         (record.response ? record.response->size() : 0);
}

}  // namespace

struct LedgerWriter::Node {
  Node* next = nullptr;
  std::uint64_t bytes = 0;
  CallRecord record;
};

LedgerWriter::LedgerWriter(std::unique_ptr<StateStore> store, const WriterOptions& options)
    : store_(std::move(store)), options_(options), retention_(*store_, options.retention_days) {
  options_.batch = std::max<std::size_t>(options_.batch, 1);
  batch_.reserve(options_.batch);
  for (std::size_t i = 0; i < kFirstNodes; ++i) {
    Node* const node = new Node;
    give_back(node, node, 1);
  }
  thread_ = std::thread([this] { run(); });
}

LedgerWriter::~LedgerWriter() {
  stop(Clock::now() + std::chrono::seconds(5));
  release(submitted_.exchange(nullptr));
  release(free_);
}

void LedgerWriter::release(Node* list) {
  while (list != nullptr) delete std::exchange(list, list->next);
}

// --- Any thread

void LedgerWriter::drop() noexcept {
  dropped_.fetch_add(1, std::memory_order_relaxed);
}

LedgerWriter::Node* LedgerWriter::take_node() noexcept {
  if (const std::unique_lock lock(free_mutex_, std::try_to_lock); lock && free_ != nullptr) {
    --free_count_;
    return std::exchange(free_, free_->next);
  }
  return new (std::nothrow) Node;
}

void LedgerWriter::give_back(Node* first, Node* last, std::size_t count) {
  {
    const std::lock_guard lock(free_mutex_);
    if (free_count_ + count <= kMostNodes) {
      last->next = std::exchange(free_, first);
      free_count_ += count;
      return;
    }
  }
  last->next = nullptr;
  release(first);
}

void LedgerWriter::submit(CallRecord record) noexcept {
  if (stopping()) return drop();
  if (waiting_.fetch_add(1) >= options_.queue) {
    waiting_.fetch_sub(1);
    return drop();
  }
  std::uint64_t bytes = content_bytes(record);
  if (bytes > 0 && waiting_bytes_.load(std::memory_order_relaxed) + bytes > options_.queue_bytes) {
    record.request.reset();
    record.response.reset();
    contents_dropped_.fetch_add(1, std::memory_order_relaxed);
    bytes = 0;
  }
  Node* node = take_node();
  if (node == nullptr) {
    waiting_.fetch_sub(1);
    return drop();
  }
  node->bytes = bytes;
  node->record = std::move(record);
  waiting_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  node->next = submitted_.load(std::memory_order_relaxed);
  while (!submitted_.compare_exchange_weak(node->next, node)) {
  }
  // Both this pair and the writer's in park() are in one order of all threads: either it sees the
  // node, or we see that it sleeps.
  if (parked_.load()) {
    const std::lock_guard lock(mutex_);
    wake_.notify_one();
  }
}

bool LedgerWriter::stop(Clock::time_point deadline) {
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_.exchange(true)) deadline_ = deadline;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
  return complete_;
}

WriterCounters LedgerWriter::counters() const {
  return {.written = written_.load(std::memory_order_relaxed),
          .dropped = dropped_.load(std::memory_order_relaxed),
          .contents_dropped = contents_dropped_.load(std::memory_order_relaxed),
          .waiting = waiting_.load(std::memory_order_relaxed),
          .errors = errors_.load(std::memory_order_relaxed),
          .removed = removed_.load(std::memory_order_relaxed)};
}

// --- The writer

void LedgerWriter::run() {
  Clock::time_point last_record = Clock::now();
  for (;;) {
    collect();
    report_drops();
    const bool some = !batch_.empty() || oldest_ != nullptr;
    if (too_late() || (stopping() && !some)) break;
    if (some) {
      last_record = Clock::now();
      if (!write_batch()) {
        pause(backoff_);
        continue;
      }
    }
    maintain();
    if (oldest_ != nullptr || stopping()) continue;
    if (retention_.busy() || Clock::now() - last_record < kIdle)
      pause(options_.interval);
    else
      park();
  }
  finish();
}

// Takes what was submitted, and puts it in order behind what is there.
void LedgerWriter::collect() {
  Node* newest = submitted_.exchange(nullptr);
  Node* oldest = nullptr;
  for (Node* node = newest; node != nullptr;) {
    Node* const before = std::exchange(node->next, oldest);
    oldest = std::exchange(node, before);
  }
  if (oldest == nullptr) return;
  (newest_ != nullptr ? newest_->next : oldest_) = oldest;
  newest_ = newest;
}

void LedgerWriter::fill_batch() {
  Node* const first = oldest_;
  Node* last = nullptr;
  std::size_t count = 0;
  for (; batch_.size() < options_.batch && oldest_ != nullptr; ++count) {
    batch_bytes_ += oldest_->bytes;
    batch_.push_back(std::move(oldest_->record));
    last = std::exchange(oldest_, oldest_->next);
  }
  if (oldest_ == nullptr) newest_ = nullptr;
  if (count > 0) give_back(first, last, count);
}

// False when it failed: the batch stays as it is.
bool LedgerWriter::write_batch() {
  fill_batch();
  if (const Status status = append(); !status) {
    errors_.fetch_add(1, std::memory_order_relaxed);
    if (backoff_.count() == 0)
      log_warn("{}; requests are answered all the same, and up to {} records wait",
               status.error().message, options_.queue);
    backoff_ =
        backoff_.count() == 0 ? options_.first_pause : std::min(2 * backoff_, options_.most_pause);
    return false;
  }
  if (backoff_.count() > 0) log_info("the ledger is written again");
  backoff_ = milliseconds(0);
  written_.fetch_add(batch_.size(), std::memory_order_relaxed);
  waiting_bytes_.fetch_sub(batch_bytes_, std::memory_order_relaxed);
  waiting_.fetch_sub(batch_.size());
  batch_.clear();
  batch_bytes_ = 0;
  return true;
}

// What a library throws (no memory) must not end the process either.
Status LedgerWriter::append() noexcept try {
  return store_->append(batch_);
} catch (const std::exception& error) {
  return std::unexpected(Error{ErrorCode::kFailed, error.what()});
}

void LedgerWriter::maintain() {
  const auto removed = retention_.step(Retention::now());
  if (removed) {
    removed_.fetch_add(static_cast<std::uint64_t>(*removed), std::memory_order_relaxed);
  } else {
    errors_.fetch_add(1, std::memory_order_relaxed);
    if (!removal_failing_) log_warn("old records stay: {}", removed.error().message);
  }
  removal_failing_ = !removed;
}

void LedgerWriter::report_drops() {
  const std::uint64_t dropped = dropped_.load(std::memory_order_relaxed);
  const auto now = Clock::now();
  if (dropped != drops_seen_) {
    if (!dropping_)
      log_warn("{} records wait for the ledger, as many as may: further ones are dropped",
               options_.queue);
    dropping_ = true;
    drops_seen_ = dropped;
    drops_seen_at_ = now;
  } else if (dropping_ && now - drops_seen_at_ >= kDropsReported) {
    log_info("the ledger has dropped {} records so far, none for a minute", dropped);
    dropping_ = false;
  }
}

bool LedgerWriter::too_late() const {
  return stopping() && Clock::now() >= deadline_;
}

void LedgerWriter::pause(milliseconds time) {
  std::unique_lock lock(mutex_);
  if (stopping())  // who waits for the end waits no longer than needed
    wake_.wait_until(lock, std::min(Clock::now() + std::min(time, kLastPause), deadline_));
  else
    wake_.wait_for(lock, time, [this] { return stopping(); });
}

// Sleeps until somebody submits, or the retention is due.
void LedgerWriter::park() {
  std::unique_lock lock(mutex_);
  parked_.store(true);
  if (submitted_.load() == nullptr && !stopping()) wake_.wait_for(lock, Retention::kInterval);
  parked_.store(false);
}

void LedgerWriter::finish() {
  std::uint64_t lost = batch_.size();
  for (const Node* node = oldest_; node != nullptr; node = node->next) ++lost;
  release(std::exchange(oldest_, nullptr));
  batch_.clear();
  waiting_.fetch_sub(lost);
  dropped_.fetch_add(lost, std::memory_order_relaxed);
  complete_ = lost == 0;
  if (lost > 0)
    log_warn("{} records could not be written to the ledger in time and are lost", lost);
  else
    (void)retention_.mark(Retention::now());
}

}  // namespace tack::store
