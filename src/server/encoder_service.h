// Where I/O coroutines meet the engine thread: a bounded queue that batches.
//
// One thread owns the models. Whenever it is free it takes what waits for the same model and
// operation, up to a budget, as one batch: under load batches grow by themselves, and a lone
// request is never delayed to wait for company. A request larger than the budget is run in slices,
// and other requests go between its slices.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/priority_lane.h"
#include "base/result.h"
#include "net/async.h"
#include "server/served_model.h"

namespace tack::server {

struct QueueLimits {
  std::size_t waiting_texts = 4096;      // more are refused, unless nothing waits at all
  std::size_t waiting_bytes = 64 << 20;  // of texts and tokens
  std::size_t batch_texts = 64;
  std::size_t batch_bytes = 16 * 1024;  // about 4,000 tokens; a longer text goes alone
};

class EncoderService {
 public:
  // Takes over the models (ids differ) and starts the engine thread. `lane`: held while a batch
  // runs; may be null.
  explicit EncoderService(std::vector<std::unique_ptr<ServedModel>> models,
                          const QueueLimits& limits = {}, PriorityLane* lane = nullptr);
  ~EncoderService();  // stop()
  EncoderService(const EncoderService&) = delete;
  EncoderService& operator=(const EncoderService&) = delete;

  // What is served; the order is that of the constructor. Any thread.
  std::size_t model_count() const { return models_.size(); }
  const ModelInfo& model(std::size_t index) const { return models_[index]->info(); }
  const Tokenizer& tokenizer(std::size_t index) const { return models_[index]->tokenizer(); }

  // Suspend the coroutine until the engine thread is done; it resumes on its own executor.
  // Errors: kUnreachable when the queue is full, kInterrupted once stopped, and the model's own.
  // `cpu_seconds`: where to add the processor time it took, its share of its batches; may be null.
  net::Async<Result<Embedded>> embed(std::size_t model, std::vector<std::string> texts,
                                     double* cpu_seconds = nullptr);
  net::Async<Result<Embedded>> embed_tokens(std::size_t model, std::vector<Tokens> inputs,
                                            double* cpu_seconds = nullptr);
  // [texts, heads] of a model with several.
  net::Async<Result<std::vector<Prediction>>> classify(std::size_t model,
                                                       std::vector<std::string> texts,
                                                       double* cpu_seconds = nullptr);
  net::Async<Result<std::vector<Tagged>>> tag(std::size_t model, std::vector<std::string> texts,
                                              double* cpu_seconds = nullptr);
  // Question i is about context i.
  net::Async<Result<std::vector<Tagged>>> extract(std::size_t model,
                                                  std::vector<std::string> questions,
                                                  std::vector<std::string> contexts,
                                                  double* cpu_seconds = nullptr);

  bool accepting() const;
  // Finishes the batch at hand; what waits ends with kInterrupted. Stop the HTTP server first (so
  // that requests in flight are answered) and destroy it last.
  void stop();

  struct Counters {
    std::uint64_t batches = 0, texts = 0, refused = 0;
    std::size_t waiting_texts = 0;  // queued or running now
  };
  Counters counters() const;

 private:
  struct Job;
  using JobPtr = std::shared_ptr<Job>;
  struct Piece;  // the texts of one job that go into a batch

  net::Async<Status> complete(JobPtr job, double* cpu_seconds);
  Status admit(const Job& job);
  void enqueue(JobPtr job);
  void work();
  std::vector<Piece> take_batch();
  void run_batch(const std::vector<Piece>& batch);
  void charge(const std::vector<Piece>& batch, double seconds);
  Status run_pieces(std::span<const Piece> pieces);
  void settle(const Piece& piece);

  const QueueLimits limits_;
  PriorityLane* const lane_;
  std::vector<std::unique_ptr<ServedModel>> models_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<JobPtr> queue_;
  std::size_t waiting_bytes_ = 0;
  bool stopping_ = false;
  Counters counters_;
  std::thread engine_;
};

}  // namespace tack::server
