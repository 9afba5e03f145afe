#include "store/audit_log.h"

#include <algorithm>
#include <future>
#include <iterator>
#include <utility>

#include "base/log.h"

namespace tack::store {
namespace {

using std::chrono::milliseconds;

// Between attempts while stop() waits.
constexpr milliseconds kLastPause{200};

std::int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Result<std::unique_ptr<AuditLog>> AuditLog::open(const AuditOptions& options, const AuditKey& key) {
  TACK_TRY(AuditFile file,
           AuditFile::open(options.file, key,
                           {.max_bytes = options.max_bytes, .verify_all = options.verify_all}));
  return std::unique_ptr<AuditLog>(new AuditLog(std::move(file), options, key));
}

AuditLog::AuditLog(AuditFile file, const AuditOptions& options, const AuditKey& key)
    : options_(options), key_(key), head_(file.head()), file_(std::move(file)) {
  thread_ = std::thread([this] { run(); });
}

AuditLog::~AuditLog() {
  stop(Clock::now() + std::chrono::seconds(5));
}

// --- Any thread

void AuditLog::append(AuditRecord record, OnDurable on_durable) {
  if (record.time_us == 0) record.time_us = now_us();
  Status refused;
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) {
      refused = fail("the audit log is closed");
    } else if (submitted_.size() + in_batch_ >= options_.queue) {
      refused = fail("{}: {} records wait to be written, as many as may", options_.file.string(),
                     options_.queue);
    } else {
      submitted_.push_back(std::move(record));
      if (on_durable) callers_.push_back(std::move(on_durable));
      if (parked_ && (submitted_.size() == 1 || urgent())) wake_.notify_one();
      return;
    }
    ++counters_.dropped;
    ++lost_;
  }
  if (on_durable) on_durable(refused);
}

Status AuditLog::append_durably(AuditRecord record) {
  const auto done = std::make_shared<std::promise<Status>>();
  std::future<Status> status = done->get_future();
  append(std::move(record), [done](const Status& how) { done->set_value(how); });
  return status.get();
}

bool AuditLog::stop(Clock::time_point deadline) {
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_) deadline_ = deadline;
    stopping_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
  return complete_;
}

AuditHead AuditLog::head() const {
  const std::lock_guard lock(mutex_);
  return head_;
}

AuditCounters AuditLog::counters() const {
  const std::lock_guard lock(mutex_);
  AuditCounters counters = counters_;
  counters.waiting = submitted_.size() + in_batch_;
  return counters;
}

// --- The writer

void AuditLog::run() {
  while (collect()) write_batch();
  finish();
}

// Under the lock: whether what was submitted is to be written now.
bool AuditLog::urgent() const {
  return stopping_ || !callers_.empty() || submitted_.size() >= options_.batch;
}

// Until there is something to write, and it is time to.
void AuditLog::wait(std::unique_lock<std::mutex>& lock) {
  if (backoff_.count() == 0) {
    wake_.wait(lock, [&] { return !submitted_.empty() || lost_ > 0 || stopping_; });
    wake_.wait_for(lock, options_.interval, [&] { return urgent(); });
    return;
  }
  if (stopping_) {  // who waits for the end waits no longer than needed
    wake_.wait_until(lock, std::min(Clock::now() + std::min(backoff_, kLastPause), deadline_));
    return;
  }
  // A caller wants to know soon, but a failing disk is not asked more often than this.
  const auto pause = std::min(options_.first_pause, backoff_);
  wake_.wait_for(lock, pause, [&] { return stopping_; });
  wake_.wait_for(lock, backoff_ - pause, [&] { return stopping_ || !callers_.empty(); });
}

// Takes what was submitted. False when the end has come.
bool AuditLog::collect() {
  std::unique_lock lock(mutex_);
  parked_ = true;
  wait(lock);
  parked_ = false;
  if (batch_.empty())
    batch_.swap(submitted_);  // nobody who appends waits while records are moved
  else
    std::ranges::move(submitted_, std::back_inserter(batch_));
  std::ranges::move(callers_, std::back_inserter(batch_callers_));
  submitted_.clear();
  callers_.clear();
  if (lost_ > 0 && backoff_.count() == 0)
    batch_.push_back({.time_us = now_us(),
                      .event = "dropped",
                      .outcome = "lost",
                      .counts = {{"records", static_cast<std::int64_t>(std::exchange(lost_, 0))}}});
  in_batch_ = batch_.size();
  return !too_late() && !(stopping_ && batch_.empty());
}

void AuditLog::write_batch() {
  if (batch_.empty()) return;
  const Status status = write();
  if (!status) {
    if (backoff_.count() == 0)
      log_error("{}; up to {} records wait", status.error().message, options_.queue);
    backoff_ =
        backoff_.count() == 0 ? options_.first_pause : std::min(2 * backoff_, options_.most_pause);
  } else {
    if (backoff_.count() > 0) log_info("the audit log is written again");
    backoff_ = milliseconds(0);
  }
  {
    const std::lock_guard lock(mutex_);
    ++(status ? counters_.syncs : counters_.errors);
    if (status) {
      counters_.written += batch_.size();
      head_ = file_.head();
      in_batch_ = 0;
    }
  }
  if (status) batch_.clear();
  tell(status);
}

// What a library throws (no memory) must not end the process.
Status AuditLog::write() noexcept try {
  return file_.append(batch_);
} catch (const std::exception& error) {
  return std::unexpected(Error{ErrorCode::kFailed, error.what()});
}

void AuditLog::tell(const Status& status) {
  for (const OnDurable& caller : std::exchange(batch_callers_, {})) caller(status);
}

void AuditLog::finish() {
  std::uint64_t lost = 0;
  {
    const std::lock_guard lock(mutex_);
    lost = batch_.size();
    in_batch_ = 0;
    counters_.dropped += lost;
    complete_ = lost == 0 && lost_ == 0;
  }
  tell(fail("the audit log is closed"));
  if (lost > 0)
    log_error("{}: {} records could not be written in time and are lost", options_.file.string(),
              lost);
}

}  // namespace tack::store
