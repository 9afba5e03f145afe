#include "server/generation_service.h"

#include <functional>
#include <optional>
#include <utility>

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/cpu_clock.h"
#include "server/served_model.h"

namespace tack::server {
namespace asio = boost::asio;

// What the engine thread has said of a request and the coroutine has not taken yet.
struct GenerationService::Mailbox {
  std::mutex mutex;
  GenerationRequest request;  // until the engine thread takes it
  GenerationId id = 0;        // of the engine thread alone
  bool admitted = false;
  std::optional<GenerationUpdate> news;
  std::optional<Error> error;
  double cpu_seconds = 0;
  std::move_only_function<void()> resume;  // of a coroutine that waits

  bool has_news() const { return news || error; }

  // Changes the box and wakes who waits for it.
  template <class Change>
  void post(const Change& change) {
    std::move_only_function<void()> wake;
    {
      const std::lock_guard lock(mutex);
      change();
      wake = std::exchange(resume, nullptr);
    }
    if (wake) wake();
  }
  void add(const GenerationUpdate& update) {
    post([&] {
      if (!news) {
        news = update;
        return;
      }
      news->text += update.text;
      news->tokens.insert(news->tokens.end(), update.tokens.begin(), update.tokens.end());
      news->end = update.end;
    });
  }
  void fail(Error why) {
    post([&] { error = std::move(why); });
  }
};

struct GenerationService::Worker {
  std::unique_ptr<ServedDecoder> decoder;
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<std::shared_ptr<Mailbox>> starts, cancels;
  bool stopping = false;
  Load load;
  std::unordered_map<GenerationId, std::shared_ptr<Mailbox>> running;  // of the thread alone
  std::thread thread;

  void run() {
    std::deque<std::shared_ptr<Mailbox>> begun, ended;
    while (take_orders(begun, ended)) {
      for (const auto& box : begun) admit(box);
      for (const auto& box : ended)
        if (running.erase(box->id) > 0) decoder->generator->cancel(box->id);
      step();
      report_load();
    }
    for (const auto& [id, box] : running) box->fail(stopped());
    running.clear();
  }

  void report_load() {
    const Generator& generator = *decoder->generator;
    const std::lock_guard lock(mutex);
    load = {generator.running(), generator.waiting(), generator.kv_tokens(),
            generator.kv_capacity()};
  }

  // One step of the generator; what it throws (no memory) ends the requests, not the server.
  void step() try {
    const double start = thread_cpu_seconds();
    const auto updates = decoder->generator->step();
    charge(thread_cpu_seconds() - start);
    for (const GenerationUpdate& update : updates) {
      const auto found = running.find(update.id);
      if (found == running.end()) continue;
      found->second->add(update);
      if (update.end) running.erase(found);
    }
  } catch (const std::exception& error) {
    decoder->generator->clear();
    for (const auto& [id, box] : running) box->fail({ErrorCode::kFailed, error.what()});
    running.clear();
  }

  // Who runs together shares the step; all workers are busy while one is.
  void charge(double seconds) {
    if (running.empty()) return;
    const double share =
        seconds * decoder->generator->decoder().threads() / static_cast<double>(running.size());
    for (const auto& [id, box] : running) {
      const std::lock_guard lock(box->mutex);
      box->cpu_seconds += share;
    }
  }

  // False when the service is stopped. Waits when there is nothing to do.
  bool take_orders(std::deque<std::shared_ptr<Mailbox>>& begun,
                   std::deque<std::shared_ptr<Mailbox>>& ended) {
    begun.clear();
    ended.clear();
    std::unique_lock lock(mutex);
    wake.wait(lock, [&] {
      return stopping || !starts.empty() || !cancels.empty() || !decoder->generator->idle();
    });
    begun.swap(starts);
    ended.swap(cancels);
    if (!stopping) return true;
    for (const auto& box : begun) box->fail(stopped());
    return false;
  }

  void admit(const std::shared_ptr<Mailbox>& box) try {
    auto id = decoder->generator->add(std::move(box->request));
    if (!id) return box->fail(id.error());
    box->id = *id;
    running.emplace(*id, box);
    box->post([&] { box->admitted = true; });
  } catch (const std::exception& error) {
    box->fail({ErrorCode::kFailed, error.what()});
  }

  void order(std::deque<std::shared_ptr<Mailbox>> Worker::* list, std::shared_ptr<Mailbox> box) {
    const std::lock_guard lock(mutex);
    (this->*list).push_back(std::move(box));
    wake.notify_one();
  }

  static Error stopped() { return {ErrorCode::kInterrupted, "the server is stopping"}; }
};

namespace {

// Suspends until post() is called on the box, unless `ready` holds already.
template <class Mailbox, class Ready>
net::Async<void> wait_for(std::shared_ptr<Mailbox> box, Ready ready) {
  auto initiate = [box, ready](auto handler) {
    const auto executor = asio::get_associated_executor(handler);
    std::move_only_function<void()> resume = [handler = std::move(handler),
                                              work = asio::make_work_guard(executor)]() mutable {
      asio::post(work.get_executor(), std::move(handler));
    };
    {
      const std::lock_guard lock(box->mutex);
      if (!ready(*box)) {
        box->resume = std::move(resume);
        return;
      }
    }
    resume();
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(initiate,
                                                                       asio::use_awaitable);
}

}  // namespace

Result<std::unique_ptr<ServedDecoder>> open_served_decoder(std::shared_ptr<const Model> model,
                                                           std::string id,
                                                           const GeneratorOptions& options) {
  TACK_TRY(auto format, ChatFormat::of(*model));
  TACK_TRY(auto generator, Generator::create(model, options));
  const std::string name = id.empty() ? model->name() : std::move(id);
  const std::int64_t created = modified_at(model->path());
  return std::make_unique<ServedDecoder>(
      ServedDecoder{name, created, std::move(model), std::move(generator), std::move(format)});
}

GenerationService::Stream::Stream(std::shared_ptr<Mailbox> mailbox, std::shared_ptr<Worker> worker)
    : mailbox_(std::move(mailbox)), worker_(std::move(worker)) {}

GenerationService::Stream::~Stream() {
  worker_->order(&Worker::cancels, mailbox_);
}

net::Async<Result<GenerationUpdate>> GenerationService::Stream::next() {
  co_await wait_for(mailbox_, [](const Mailbox& box) { return box.has_news(); });
  const std::lock_guard lock(mailbox_->mutex);
  if (mailbox_->news) {
    GenerationUpdate update = *std::exchange(mailbox_->news, std::nullopt);
    co_return update;
  }
  co_return std::unexpected(*mailbox_->error);
}

void GenerationService::Stream::cancel() {
  worker_->order(&Worker::cancels, mailbox_);
  mailbox_->fail({ErrorCode::kInterrupted, "the client has left"});
}

double GenerationService::Stream::cpu_seconds() const {
  const std::lock_guard lock(mailbox_->mutex);
  return mailbox_->cpu_seconds;
}

GenerationService::GenerationService(std::vector<std::unique_ptr<ServedDecoder>> decoders) {
  for (auto& decoder : decoders) {
    workers_.push_back(std::make_shared<Worker>());
    Worker& worker = *workers_.back();
    worker.decoder = std::move(decoder);
    worker.thread = std::thread([&worker] { worker.run(); });
  }
}

GenerationService::~GenerationService() {
  stop();
}

const ServedDecoder& GenerationService::model(std::size_t index) const {
  return *workers_[index]->decoder;
}

GenerationService::Load GenerationService::load(std::size_t model) const {
  const std::lock_guard lock(workers_[model]->mutex);
  Load now = workers_[model]->load;
  now.waiting += workers_[model]->starts.size();
  return now;
}

net::Async<Result<std::unique_ptr<GenerationService::Stream>>> GenerationService::start(
    std::size_t model, GenerationRequest request) {
  const std::shared_ptr<Worker> worker = workers_[model];
  const auto box = std::make_shared<Mailbox>();
  box->request = std::move(request);
  {
    const std::lock_guard lock(worker->mutex);
    if (worker->stopping) co_return std::unexpected(Worker::stopped());
    worker->starts.push_back(box);
    worker->wake.notify_one();
  }
  // From here on: the request is cancelled when this coroutine is destroyed.
  auto stream = std::make_unique<Stream>(box, worker);
  co_await wait_for(box, [](const Mailbox& b) { return b.admitted || b.error; });
  {
    const std::lock_guard lock(box->mutex);
    if (!box->admitted) co_return std::unexpected(*box->error);
  }
  co_return std::move(stream);
}

void GenerationService::stop() {
  for (const auto& worker : workers_) {
    {
      const std::lock_guard lock(worker->mutex);
      worker->stopping = true;
    }
    worker->wake.notify_all();
  }
  for (const auto& worker : workers_)
    if (worker->thread.joinable()) worker->thread.join();
}

}  // namespace tack::server
