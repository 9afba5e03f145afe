#include "gateway/upstream_stream.h"

#include <utility>

namespace tack::gateway {

using net::Async;

namespace {

constexpr std::size_t kLongestEvent = 8 * 1024 * 1024;  // bytes

}  // namespace

UpstreamStream::UpstreamStream(std::string upstream, std::shared_ptr<const Call> call,
                               net::ClientPool::Answer answer, CircuitBreaker::Permit permit)
    : upstream_(std::move(upstream)),
      call_(std::move(call)),
      answer_(std::move(answer)),
      permit_(std::move(permit)),
      reader_(kLongestEvent),
      meter_(call_) {}

Async<std::expected<void, FailedTry>> UpstreamStream::open() {
  auto first = co_await pull();
  if (!first) co_return std::unexpected(std::move(first).error());
  permit_.began();
  first_ = *std::move(first);
  co_return std::expected<void, FailedTry>{};
}

Async<Expected<std::optional<std::string>>> UpstreamStream::next() {
  if (first_) co_return std::exchange(first_, std::nullopt);
  auto event = co_await pull();
  if (event) co_return *std::move(event);
  Failure failure = std::move(event.error().failure);
  failure.tokens = outcome().tokens;
  co_return std::unexpected(std::move(failure));
}

Async<UpstreamStream::Pulled> UpstreamStream::pull() {
  while (!ended_) {
    auto event = take_event();
    if (!event || *event || ended_) co_return event;
    const auto piece = co_await answer_.next_piece();
    if (!piece) co_return fail_with(failed_exchange(upstream_, piece.error()));
    if (!piece->empty()) {
      reader_.feed(*piece);
      continue;
    }
    if (std::exchange(body_ended_, true)) co_return end_of_body();
    reader_.end();  // a last event may lack its blank line
  }
  co_return std::nullopt;
}

// The next event that the client is to see, if it has come.
UpstreamStream::Pulled UpstreamStream::take_event() {
  while (true) {
    const auto event = reader_.next();
    if (!event) return fail_with(failed_answer(upstream_, event.error().message));
    if (!*event) return std::nullopt;
    const std::string_view data = (*event)->data;
    if (data == "[DONE]") {
      finish();
      return std::nullopt;
    }
    const AnswerMeter::Kind kind = meter_.add_chunk(data);
    if (kind == AnswerMeter::Kind::kError) return fail_with(failed_inside(upstream_, data));
    if (kind == AnswerMeter::Kind::kInvalid)
      return fail_with(failed_answer(upstream_, meter_.why()));
    if (kind == AnswerMeter::Kind::kAnswer || call_->include_usage) return std::string(data);
  }
}

// Some servers leave "[DONE]" out; the model's own end must be there.
UpstreamStream::Pulled UpstreamStream::end_of_body() {
  if (!meter_.finished())
    return fail_with(failed_answer(upstream_, "the stream ended before the answer did"));
  finish();
  return std::nullopt;
}

void UpstreamStream::finish() {
  ended_ = true;
  answer_.drain();
  permit_.worked();
}

std::unexpected<FailedTry> UpstreamStream::fail_with(FailedTry failed) {
  ended_ = true;
  if (failed.breaks) permit_.failed();
  return std::unexpected(std::move(failed));
}

}  // namespace tack::gateway
