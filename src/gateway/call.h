// A request on its way to a model, and what comes back: the same for local models and upstreams.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "base/json.h"
#include "net/async.h"
#include "net/http.h"
#include "store/ledger.h"

namespace tack::gateway {

enum class Operation : std::uint8_t { kChat, kCompletion, kEmbeddings };

std::string_view endpoint(Operation operation);  // "/v1/chat/completions"

struct Call {
  Operation operation = Operation::kChat;
  Json body;  // the client's, an object; its "model" is what the client wrote
  bool stream = false, include_usage = false;
  bool want_confidence = false;  // Outcome::confidence is needed, also where it costs something
  std::string id;                // x-request-id
  std::string client;            // the key's name; "" without keys
  // Tells when the client leaves: what runs for it is cancelled. Null: it never does.
  std::shared_ptr<net::Departure> departure = nullptr;
};

// Why a model gave no answer, in the terms of the OpenAI API's error object.
struct Failure {
  int status = 502;  // what the client gets: 400 to 599
  std::string message;
  // "": the usual ones of the status.
  std::string type = {}, code = {}, param = {};
  bool another_may_answer = true;  // false: the request itself is wrong (another 4xx)
  std::optional<std::chrono::milliseconds> retry_after;
  store::TokenUse tokens = {};  // that may be charged all the same
};
// {"error": {"message", "type", "param", "code"}}, with Retry-After where a later try may work.
net::Response failure_response(const Failure& failure);
// The same as the JSON text of an event: how a stream says that it failed.
std::string failure_event(const Failure& failure);

template <class T>
using Expected = std::expected<T, Failure>;

// What is known of an answer when it is complete.
struct Outcome {
  store::TokenUse tokens;
  std::string finish_reason;  // "" when the answer did not say
  // How sure the model is of its answer, in [0, 1]: a task model's calibrated probability, else the
  // mean probability of the tokens. NaN: unknown.
  double confidence = std::numeric_limits<double>::quiet_NaN();
  double cpu_seconds = 0;
  // False: `tokens.prompt` counts the text that was classified, not all that a chat model reads.
  bool whole_prompt = true;
};

// A streamed answer. Destroyed before its end it is cancelled.
class EventStream {
 public:
  virtual ~EventStream() = default;
  // The JSON text of the next event; nullopt at the end ("[DONE]" is not an event). A failure ends
  // it too. One coroutine at a time.
  virtual net::Async<Expected<std::optional<std::string>>> next() = 0;
  // So far; complete after the end.
  virtual Outcome outcome() const = 0;
};

// One of the two: `events` when the call streams, else `body`.
struct Reply {
  std::string body;  // JSON
  std::unique_ptr<EventStream> events;
  Outcome outcome;  // of a body
  net::Headers headers =
      {};  // of an upstream, that the client may see (rate limits, its request id)
};

}  // namespace tack::gateway
