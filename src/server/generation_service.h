// Where I/O coroutines meet the decoders: a thread for each, that runs its requests together.
//
// Updates of a request wait in its stream until the coroutine takes them, all that have come at
// once: a slow client gets larger pieces, and nobody waits for it. A stream that is destroyed
// cancels its request.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "engine/chat_format.h"
#include "engine/generator.h"
#include "net/async.h"

namespace tack::server {

struct ServedDecoder {
  std::string id;            // the name clients use
  std::int64_t created = 0;  // seconds since 1970: of the file
  std::shared_ptr<const Model> model;
  std::unique_ptr<Generator> generator;  // used by the service's thread alone
  ChatFormat format;
};

// `id` empty: the file's stem. `options.decoder.lane` is what encoders hold while they run.
Result<std::unique_ptr<ServedDecoder>> open_served_decoder(std::shared_ptr<const Model> model,
                                                           std::string id,
                                                           const GeneratorOptions& options);

class GenerationService {
  struct Mailbox;
  struct Worker;

 public:
  // One request's answer. Used by one coroutine at a time.
  class Stream {
   public:
    Stream(std::shared_ptr<Mailbox> mailbox, std::shared_ptr<Worker> worker);
    ~Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    // What has come since the last call; suspends until there is something. After an update with
    // `end` there is no more. Errors: kInterrupted once the service is stopped.
    net::Async<Result<GenerationUpdate>> next();
    // Ends the request: next() fails with kInterrupted. From any thread.
    void cancel();
    // Processor time of the decoder's steps so far: this request's share.
    double cpu_seconds() const;

   private:
    std::shared_ptr<Mailbox> mailbox_;
    std::shared_ptr<Worker> worker_;  // a stream may outlive the service
  };

  explicit GenerationService(std::vector<std::unique_ptr<ServedDecoder>> decoders);
  ~GenerationService();  // stop()
  GenerationService(const GenerationService&) = delete;
  GenerationService& operator=(const GenerationService&) = delete;

  std::size_t model_count() const { return workers_.size(); }
  const ServedDecoder& model(std::size_t index) const;

  // Errors: those of Generator::add().
  net::Async<Result<std::unique_ptr<Stream>>> start(std::size_t model, GenerationRequest request);

  // As of the last step. Any thread.
  struct Load {
    std::size_t running = 0, waiting = 0;
    std::int64_t kv_tokens = 0, kv_capacity = 0;
  };
  Load load(std::size_t model) const;

  // Breaks off what runs; what waits ends with kInterrupted. As EncoderService::stop().
  void stop();

 private:
  std::vector<std::shared_ptr<Worker>> workers_;
};

}  // namespace tack::server
