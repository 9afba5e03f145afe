#include "gateway/delivery.h"

#include <algorithm>

#include "gateway/masking.h"

namespace tack::gateway {

using net::Async;
using net::Response;
using store::Purpose;

namespace {

// A proxy before us has room for about four thousand bytes of header.
constexpr std::size_t kMostReasonBytes = 400;
// Of what is kept beside the stream, for the ledger or a comparison.
constexpr std::size_t kMostFoldedBytes = 4 << 20;

// The request as the ledger may hold it.
const Call& as_kept(const Exchange& exchange) {
  return exchange.egress.masked != nullptr ? *exchange.egress.masked->call() : *exchange.call;
}

// Without a character that is cut in two.
std::string shortened(const std::string& text, std::size_t most) {
  if (text.size() <= most) return text;
  std::size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return text.substr(0, end) + "...";
}

}  // namespace

void describe(Response& response, const Account& account) {
  const store::CallRecord& record = account.record;
  for (const auto& [name, value] : account.headers) response.headers.set(name, value);
  response.headers.set("x-request-id", record.id);
  if (!record.model.empty()) response.headers.set("x-tack-model", record.model);
  if (!record.route.empty()) response.headers.set("x-tack-route", record.route);
  if (!record.reason.empty())
    response.headers.set("x-tack-reason", shortened(record.reason, kMostReasonBytes));
}

// What is left of an answer, sent event by event. Shared by the response and its coroutine.
class Delivery::Stream {
 public:
  Stream(const Delivery& delivery, std::shared_ptr<Exchange> exchange, Answer answer)
      : delivery_(delivery),
        exchange_(std::move(exchange)),
        answer_(std::move(answer)),
        folds_(exchange_->keep_text || delivery.config_.ledger.content),
        caches_(!exchange_->cache_key.empty()) {}
  ~Stream() { end(499); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  Async<void> run(net::ResponseStream& out) {
    int status = 200;
    bool there = true;
    while (there && exchange_ != nullptr) {
      std::string bytes;
      if (answer_.events.empty() && !answer_.complete) {
        auto event = co_await answer_.reply.events->next();
        if (!event) {
          status = client_left() ? 499 : event.error().status;
          bytes = net::sse_event(failure_event(event.error()));
        } else if (*event) {
          answer_.events.push_back(**std::move(event));
        }
        answer_.complete = !event || !*event;
      }
      while (!answer_.events.empty()) {
        bytes += net::sse_event(answer_.events.front());
        keep(std::move(answer_.events.front()));
        answer_.events.pop_front();
      }
      if (answer_.complete) {
        bytes += net::sse_event("[DONE]");
        end(status);  // before the last bytes: a client that has them finds the record
      }
      there = co_await out.write(std::move(bytes));
    }
    end(499);
  }

 private:
  bool client_left() const {
    const auto& departure = exchange_->call->departure;
    return departure != nullptr && departure->gone();
  }
  void keep(std::string event) {
    kept_ += event.size();
    folds_ = folds_ && kept_ <= kMostFoldedBytes;
    caches_ = caches_ && delivery_.cache_.has_room_for(kept_);
    if (folds_) fold_.add(event);
    if (caches_) sent_.push_back(std::move(event));
  }
  // The first time it is called.
  void end(int status) {
    if (exchange_ == nullptr) return;
    const auto exchange = std::exchange(exchange_, nullptr);
    if (!caches_) exchange->cache_key.clear();
    delivery_.finish(*exchange, answer_, status, folds_ ? &fold_ : nullptr, std::move(sent_));
  }

  const Delivery& delivery_;
  std::shared_ptr<Exchange> exchange_;  // null: the answer has been counted
  Answer answer_;
  bool folds_, caches_;
  AnswerFold fold_;
  std::vector<std::string> sent_;
  std::size_t kept_ = 0;  // bytes
};

void Delivery::finish(Exchange& exchange, Answer& answer, int status, const AnswerFold* fold,
                      std::vector<std::string> sent) const {
  if (answer.reply.events) answer.reply.outcome = answer.reply.events->outcome();
  const Outcome& outcome = answer.reply.outcome;
  Account& account = *exchange.account;
  answer.attempt.status = status;
  if (status >= 500) answer.attempt.purpose = Purpose::kFailed;
  answer.attempt.tokens = outcome.tokens;
  answer.attempt.cpu_seconds = outcome.cpu_seconds;
  answer.attempt.total_ms = answer.clock.ms();
  account.add(std::move(answer.attempt));
  account.finish(status, answer.model, outcome);
  const bool content = config_.ledger.content;
  const MaskedCall* masked = exchange.egress.masked.get();
  if (content) account.record.request = to_text(as_kept(exchange).body);
  if (exchange.keep_text || content) {
    const Json whole = !answer.reply.events ? Json::parse(answer.reply.body, nullptr, false)
                       : fold != nullptr    ? fold->whole()
                                            : Json();
    if (exchange.keep_text && status == 200) account.answer = answer_text(whole);
    if (content && !whole.is_null())
      account.record.response = to_text(masked != nullptr ? masked->kept(whole) : whole);
  }
  // What answers in place of a model that failed should not stand for it longer than that.
  const bool first_choice = std::ranges::none_of(
      account.record.attempts, [](const auto& a) { return a.purpose == Purpose::kFailed; });
  const bool withheld = outcome.finish_reason == "content_filter";
  if (status == 200 && first_choice && !withheld && !exchange.cache_key.empty())
    cache_.put(exchange.cache_key,
               {answer.model, std::move(answer.reply.body), std::move(sent), outcome});
}

Response Delivery::respond(std::shared_ptr<Exchange> exchange, Answer answer) const {
  Response response;
  Account& account = *exchange->account;
  account.record.model = answer.model;
  const net::Headers headers = std::move(answer.reply.headers);
  if (answer.reply.events) {
    auto stream = std::make_shared<Stream>(*this, exchange, std::move(answer));
    net::StreamProducer producer = [stream](net::ResponseStream& out) { return stream->run(out); };
    response = Response::events(std::move(producer), config_.serve.heartbeat);
  } else {
    response = Response::json_text(200, answer.reply.body);
    finish(*exchange, answer, 200, nullptr, {});
  }
  for (const auto& [name, value] : headers) response.headers.set(name, value);
  describe(response, account);
  return response;
}

Response Delivery::from_cache(Exchange& exchange, const CachedAnswer& cached) const {
  Account& account = *exchange.account;
  account.record.from_cache = true;
  account.record.reason += "; the answer was in the cache";
  account.finish(200, cached.model, cached.outcome);
  Response response;
  if (exchange.call->stream) {
    std::string bytes;
    for (const std::string& event : cached.events) bytes += net::sse_event(event);
    bytes += net::sse_event("[DONE]");
    net::StreamProducer producer = [bytes](net::ResponseStream& out) -> Async<void> {
      co_await out.write(bytes);
    };
    response = Response::events(std::move(producer));
  } else {
    response = Response::json_text(200, cached.body);
  }
  if (config_.ledger.content) {
    account.record.request = to_text(as_kept(exchange).body);
    AnswerFold fold;
    for (const std::string& event : cached.events) fold.add(event);
    account.record.response = exchange.call->stream ? to_text(fold.whole()) : cached.body;
  }
  describe(response, account);
  response.headers.set("x-tack-cache", "hit");
  return response;
}

}  // namespace tack::gateway
