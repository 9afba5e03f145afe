#include "server/encoder_service.h"

#include <algorithm>
#include <cassert>
#include <functional>
#include <optional>
#include <span>
#include <utility>

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/cpu_clock.h"

namespace tack::server {
namespace asio = boost::asio;

namespace {

enum class Operation { kEmbed, kEmbedTokens, kClassify, kTag, kExtract };

}  // namespace

// One request. The engine thread fills in the results, then wakes the coroutine, which reads them.
struct EncoderService::Job {
  std::size_t model = 0;
  Operation operation = Operation::kEmbed;
  std::vector<std::string> texts;
  std::vector<std::string> contexts;  // of kExtract: texts are questions, each about one
  std::vector<Tokens> tokens;

  Embedded embedded;
  std::vector<Prediction> predictions;
  std::vector<Tagged> tagged;
  std::optional<Error> error;
  std::size_t done = 0;  // texts
  double cpu_seconds = 0;
  std::move_only_function<void()> resume;

  // Lets the coroutine go on; the job belongs to it from here.
  void answer() { std::exchange(resume, nullptr)(); }
  void abandon() {
    error = Error{ErrorCode::kInterrupted, "the server is stopping"};
    answer();
  }

  std::size_t size() const { return texts.size() + tokens.size(); }
  std::size_t bytes_of(std::size_t i) const {
    if (texts.empty()) return tokens[i].ids.size() * sizeof(TokenId);
    return texts[i].size() + (contexts.empty() ? 0 : contexts[i].size());
  }
  // Drops what an attempt that failed half-way left behind.
  void forget_from(std::size_t text, std::size_t dim, std::size_t heads) {
    if (predictions.size() > text * heads) predictions.resize(text * heads);
    if (tagged.size() > text) tagged.resize(text);
    if (embedded.info.size() > text) embedded.info.resize(text);
    if (embedded.vectors.size() > text * dim) embedded.vectors.resize(text * dim);
  }
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (std::size_t i = 0; i < size(); ++i) sum += bytes_of(i);
    return sum;
  }
};

struct EncoderService::Piece {
  JobPtr job;
  std::size_t begin = 0, end = 0;
};

EncoderService::EncoderService(std::vector<std::unique_ptr<ServedModel>> models,
                               const QueueLimits& limits, PriorityLane* lane)
    : limits_(limits), lane_(lane), models_(std::move(models)) {
  engine_ = std::thread([this] { work(); });
}

EncoderService::~EncoderService() {
  stop();
}

net::Async<Result<Embedded>> EncoderService::embed(std::size_t model,
                                                   std::vector<std::string> texts,
                                                   double* cpu_seconds) {
  const auto job = std::make_shared<Job>();
  job->model = model;
  job->operation = Operation::kEmbed;
  job->texts = std::move(texts);
  if (auto status = co_await complete(job, cpu_seconds); !status)
    co_return std::unexpected(std::move(status).error());
  co_return std::move(job->embedded);
}

net::Async<Result<Embedded>> EncoderService::embed_tokens(std::size_t model,
                                                          std::vector<Tokens> inputs,
                                                          double* cpu_seconds) {
  const auto job = std::make_shared<Job>();
  job->model = model;
  job->operation = Operation::kEmbedTokens;
  job->tokens = std::move(inputs);
  if (auto status = co_await complete(job, cpu_seconds); !status)
    co_return std::unexpected(std::move(status).error());
  co_return std::move(job->embedded);
}

net::Async<Result<std::vector<Prediction>>> EncoderService::classify(std::size_t model,
                                                                     std::vector<std::string> texts,
                                                                     double* cpu_seconds) {
  const auto job = std::make_shared<Job>();
  job->model = model;
  job->operation = Operation::kClassify;
  job->texts = std::move(texts);
  if (auto status = co_await complete(job, cpu_seconds); !status)
    co_return std::unexpected(std::move(status).error());
  co_return std::move(job->predictions);
}

net::Async<Result<std::vector<Tagged>>> EncoderService::tag(std::size_t model,
                                                            std::vector<std::string> texts,
                                                            double* cpu_seconds) {
  const auto job = std::make_shared<Job>();
  job->model = model;
  job->operation = Operation::kTag;
  job->texts = std::move(texts);
  if (auto status = co_await complete(job, cpu_seconds); !status)
    co_return std::unexpected(std::move(status).error());
  co_return std::move(job->tagged);
}

net::Async<Result<std::vector<Tagged>>> EncoderService::extract(std::size_t model,
                                                                std::vector<std::string> questions,
                                                                std::vector<std::string> contexts,
                                                                double* cpu_seconds) {
  assert(questions.size() == contexts.size());
  const auto job = std::make_shared<Job>();
  job->model = model;
  job->operation = Operation::kExtract;
  job->texts = std::move(questions);
  job->contexts = std::move(contexts);
  if (auto status = co_await complete(job, cpu_seconds); !status)
    co_return std::unexpected(std::move(status).error());
  co_return std::move(job->tagged);
}

net::Async<Status> EncoderService::complete(JobPtr job, double* cpu_seconds) {
  if (job->size() == 0) co_return Status{};
  if (auto admitted = admit(*job); !admitted) co_return admitted;
  auto initiate = [this, &job](auto handler) {
    const auto executor = asio::get_associated_executor(handler);
    job->resume = [handler = std::move(handler), work = asio::make_work_guard(executor)]() mutable {
      asio::post(work.get_executor(), std::move(handler));
    };
    enqueue(job);
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(initiate,
                                                                       asio::use_awaitable);
  if (cpu_seconds != nullptr) *cpu_seconds += job->cpu_seconds;
  if (job->error) co_return std::unexpected(*std::move(job->error));
  co_return Status{};
}

// Reserves the job's place, so that requests admitted at the same time cannot overfill the queue.
Status EncoderService::admit(const Job& job) {
  const std::size_t bytes = job.bytes();
  const std::lock_guard lock(mutex_);
  if (stopping_) return fail(ErrorCode::kInterrupted, "the server is stopping");
  const bool full = counters_.waiting_texts + job.size() > limits_.waiting_texts ||
                    waiting_bytes_ + bytes > limits_.waiting_bytes;
  if (full && counters_.waiting_texts > 0) {
    ++counters_.refused;
    return fail(ErrorCode::kUnreachable,
                "too many requests are waiting ({} texts); try again in a moment",
                counters_.waiting_texts);
  }
  counters_.waiting_texts += job.size();
  waiting_bytes_ += bytes;
  return {};
}

void EncoderService::enqueue(JobPtr job) {
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_) {
      queue_.push_back(std::move(job));
      wake_.notify_one();
      return;
    }
  }
  job->abandon();  // stop() came after admit()
}

void EncoderService::work() {
  while (true) {
    const std::vector<Piece> batch = take_batch();
    if (batch.empty()) return;
    {
      const PriorityLane::Urgent urgent(lane_);
      const double start = thread_cpu_seconds();
      run_batch(batch);
      charge(batch, thread_cpu_seconds() - start);
    }
    for (const Piece& piece : batch) settle(piece);
  }
}

// Waits for work; empty when stopped. Takes jobs like the first one, in order, up to the budget.
std::vector<EncoderService::Piece> EncoderService::take_batch() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
  std::vector<Piece> batch;
  if (stopping_) return batch;
  const std::size_t model = queue_.front()->model;
  const Operation operation = queue_.front()->operation;
  std::size_t texts = 0, bytes = 0;
  const auto fits = [&](const Job& job, std::size_t i) {
    return texts == 0 ||
           (texts < limits_.batch_texts && bytes + job.bytes_of(i) <= limits_.batch_bytes);
  };
  for (auto at = queue_.begin(); at != queue_.end();) {
    const Job& job = **at;
    const bool alike = job.model == model && job.operation == operation;
    if (!alike || !fits(job, job.done)) {
      ++at;
      continue;
    }
    std::size_t end = job.done;
    for (; end < job.size() && fits(job, end); ++end) {
      ++texts;
      bytes += job.bytes_of(end);
    }
    batch.push_back({*at, job.done, end});
    at = queue_.erase(at);
    if (texts >= limits_.batch_texts) break;
  }
  ++counters_.batches;
  counters_.texts += texts;
  return batch;
}

void EncoderService::run_batch(const std::vector<Piece>& batch) {
  if (run_pieces(batch)) return;
  // One request may have spoilt it for all: each gets its own answer.
  for (const Piece& piece : batch)
    if (auto status = run_pieces({&piece, 1}); !status) piece.job->error = status.error();
}

// Each request pays for its part of the batch, by bytes; all workers are busy while one is.
void EncoderService::charge(const std::vector<Piece>& batch, double seconds) {
  const auto bytes_of = [](const Piece& piece) {
    std::size_t sum = 0;
    for (std::size_t i = piece.begin; i < piece.end; ++i) sum += piece.job->bytes_of(i) + 1;
    return static_cast<double>(sum);
  };
  double all = 0;
  for (const Piece& piece : batch) all += bytes_of(piece);
  seconds *= models_[batch.front().job->model]->info().threads;
  for (const Piece& piece : batch) piece.job->cpu_seconds += seconds * bytes_of(piece) / all;
}

// Runs the pieces (of one model and operation) as one batch and hands out the results.
Status EncoderService::run_pieces(std::span<const Piece> pieces) try {
  const Job& first = *pieces.front().job;
  ServedModel& model = *models_[first.model];
  std::vector<std::string_view> texts;
  std::vector<Tokens> tokens;
  for (const auto& [job, begin, end] : pieces) {
    for (std::size_t i = begin; i < end && !job->texts.empty(); ++i) texts.push_back(job->texts[i]);
    for (std::size_t i = begin; i < end && job->texts.empty(); ++i)
      tokens.push_back(job->tokens[i]);  // copied: the batch may have to be run again in parts
  }
  const auto dim = static_cast<std::size_t>(model.info().embedding_dim);
  const std::size_t heads = std::max<std::size_t>(1, model.info().heads.size());
  for (const Piece& piece : pieces) piece.job->forget_from(piece.begin, dim, heads);
  const std::size_t rows = std::max(texts.size(), tokens.size());
  std::size_t row = 0;
  const auto hand_out = [&](auto& answers, auto Job::* to, std::size_t width = 1) -> Status {
    if (answers.size() != rows * width) return fail("the model answered for other texts");
    for (const auto& [job, begin, end] : pieces)
      for (std::size_t i = begin * width; i < end * width; ++i)
        ((*job).*to).push_back(std::move(answers[row++]));
    return {};
  };
  if (first.operation == Operation::kClassify) {
    TACK_TRY(std::vector<Prediction> predictions, model.classify(texts));
    return hand_out(predictions, &Job::predictions, heads);
  }
  if (first.operation == Operation::kTag) {
    TACK_TRY(std::vector<Tagged> tagged, model.tag(texts));
    return hand_out(tagged, &Job::tagged);
  }
  if (first.operation == Operation::kExtract) {
    std::vector<QuestionText> questions;
    for (const auto& [job, begin, end] : pieces)
      for (std::size_t i = begin; i < end; ++i)
        questions.push_back({job->texts[i], job->contexts[i]});
    TACK_TRY(std::vector<Tagged> answers, model.extract(questions));
    return hand_out(answers, &Job::tagged);
  }
  TACK_TRY(const Embedded embedded,
           first.operation == Operation::kEmbed ? model.embed(texts) : model.embed_tokens(tokens));
  if (embedded.info.size() != rows || embedded.vectors.size() != rows * dim)
    return fail("the model answered for other texts");
  for (const auto& [job, begin, end] : pieces) {
    const float* values = embedded.vectors.data() + row * dim;
    job->embedded.vectors.insert(job->embedded.vectors.end(), values, values + (end - begin) * dim);
    const auto info = embedded.info.begin() + static_cast<std::ptrdiff_t>(row);
    job->embedded.info.insert(job->embedded.info.end(), info,
                              info + static_cast<std::ptrdiff_t>(end - begin));
    row += end - begin;
  }
  return {};
} catch (const std::exception& error) {
  return fail("the model failed: {}", error.what());
}

// After a batch: the job is answered, or goes back to the end of the queue with what is left of it.
void EncoderService::settle(const Piece& piece) {
  Job& job = *piece.job;
  job.done = piece.end;
  const bool ended = job.error || job.done == job.size();
  const std::size_t bytes = ended ? job.bytes() : 0;
  {
    const std::lock_guard lock(mutex_);
    if (!ended) {
      queue_.push_back(piece.job);
      return;
    }
    counters_.waiting_texts -= job.size();
    waiting_bytes_ -= bytes;
  }
  job.answer();
}

bool EncoderService::accepting() const {
  const std::lock_guard lock(mutex_);
  return !stopping_;
}

void EncoderService::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (engine_.joinable()) engine_.join();
  std::deque<JobPtr> left;
  {
    const std::lock_guard lock(mutex_);
    left.swap(queue_);
    counters_.waiting_texts = 0;
    waiting_bytes_ = 0;
  }
  for (const JobPtr& job : left) job->abandon();
}

EncoderService::Counters EncoderService::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

}  // namespace tack::server
