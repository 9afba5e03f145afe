#include "server/decoder_answer.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <deque>
#include <utility>

namespace tack::server {
namespace {

using gateway::Expected;
using gateway::Failure;
using gateway::Outcome;
using gateway::Reply;
using net::Async;

// One answer that is being written: the request's stream, and how it becomes JSON.
class DecoderEvents final : public gateway::EventStream {
 public:
  DecoderEvents(const ServedDecoder& decoder, const CompletionRequest& request, bool show_logprobs,
                std::unique_ptr<GenerationService::Stream> stream)
      : decoder_(decoder),
        chat_(request.chat),
        tools_(!request.tools.is_null()),
        tool_format_(request.must_call ? chat::ToolFormat::kJson : decoder.format.tool_format()),
        logprobs_(show_logprobs),
        include_usage_(request.include_usage),
        writer_(request.chat, make_id(request.chat ? "chatcmpl" : "cmpl"), decoder.id,
                std::time(nullptr)),
        stream_(std::move(stream)) {
    if (chat_ && request.stream) events_.push_back(to_text(writer_.first_event()));
  }

  void end_with(net::Departure& departure) {
    watch_ = departure.on_gone([this] { stream_->cancel(); });
  }

  // In place of events.
  Async<Expected<Reply>> whole() {
    std::vector<SampledToken> tokens;
    for (;;) {
      auto update = co_await stream_->next();
      if (!update) co_return std::unexpected(to_failure(to_api_error(update.error())));
      text_ += update->text;
      add_confidence(*update);
      if (logprobs_) tokens.insert(tokens.end(), update->tokens.begin(), update->tokens.end());
      if (!update->end) continue;
      if (update->end->error)
        co_return std::unexpected(to_failure(to_api_error(*update->end->error)));
      const chat::Reply reply = reply_of(text_);
      finish(*update->end, reply);
      const Json json =
          writer_.whole(reply, outcome_.finish_reason, usage_of(*update->end),
                        logprobs_ ? logprobs_json(tokens, tokenizer(), chat_) : Json());
      co_return Reply{.body = to_text(json), .outcome = outcome()};
    }
  }

  Async<Expected<std::optional<std::string>>> next() override {
    while (events_.empty()) {
      if (ended_) co_return std::nullopt;
      auto update = co_await stream_->next();
      ended_ = !update || update->end;
      if (!update) co_return std::unexpected(to_failure(to_api_error(update.error())));
      if (update->end && update->end->error)
        co_return std::unexpected(to_failure(to_api_error(*update->end->error)));
      add_events(*update);
    }
    std::optional<std::string> event = std::move(events_.front());
    events_.pop_front();
    co_return event;
  }
  Outcome outcome() const override {
    Outcome so_far = outcome_;
    so_far.cpu_seconds = stream_->cpu_seconds();
    return so_far;
  }

 private:
  const Tokenizer& tokenizer() const { return decoder_.model->tokenizer(); }

  // Calls are looked for only where tools were offered.
  chat::Reply reply_of(const std::string& text) const {
    if (!tools_) return {text, {}};
    chat::Reply reply = chat::parse_reply(text, tool_format_);
    for (chat::ToolCall& call : reply.calls)
      if (call.id.empty()) call.id = chat::make_call_id(std::hash<std::string>{}(make_id("call")));
    return reply;
  }
  static Usage usage_of(const GenerationEnd& end) {
    return {.prompt_tokens = end.prompt_tokens,
            .cached_tokens = end.reused_tokens,
            .output_tokens = end.output_tokens};
  }
  void add_confidence(const GenerationUpdate& update) {
    for (const SampledToken& token : update.tokens) logprob_sum_ += token.logprob;
    sampled_ += static_cast<std::int64_t>(update.tokens.size());
    // Of a client that leaves half-way.
    outcome_.tokens.completion = std::max(outcome_.tokens.completion, sampled_);
  }
  void finish(const GenerationEnd& end, const chat::Reply& reply) {
    outcome_.tokens = {
        .prompt = end.prompt_tokens, .completion = end.output_tokens, .cached = end.reused_tokens};
    outcome_.finish_reason = reply.calls.empty() ? finish_reason_name(end.reason) : "tool_calls";
    if (sampled_ > 0) outcome_.confidence = std::exp(logprob_sum_ / static_cast<double>(sampled_));
  }

  void add_events(const GenerationUpdate& update) {
    text_ += update.text;
    add_confidence(update);
    Json logprobs;
    if (logprobs_ && !update.tokens.empty())
      logprobs = logprobs_json(update.tokens, tokenizer(), chat_);
    const auto add = [&](const Json& event) { events_.push_back(to_text(event)); };
    chat::Reply reply;
    std::string_view certain = text_;  // of the reply's text: no call can be in it any more
    if (update.end) {
      reply = reply_of(text_);
      certain = reply.text;
    } else if (tools_ && chat::may_be_tool_call(text_, tool_format_)) {
      certain = certain.substr(0, sent_);
    }
    const bool more = certain.size() > sent_;
    if (more || !logprobs.is_null())
      add(writer_.event(more ? certain.substr(sent_) : "", logprobs));
    sent_ = std::max(sent_, certain.size());
    if (!update.end) return;
    finish(*update.end, reply);
    if (!reply.calls.empty()) add(writer_.tool_calls_event(reply.calls));
    add(writer_.last_event(outcome_.finish_reason));
    if (include_usage_) add(writer_.usage_event(usage_of(*update.end)));
  }

  const ServedDecoder& decoder_;
  const bool chat_, tools_;
  const chat::ToolFormat tool_format_;
  const bool logprobs_, include_usage_;
  const CompletionWriter writer_;
  std::unique_ptr<GenerationService::Stream> stream_;
  net::Departure::Watch watch_;
  std::deque<std::string> events_;
  bool ended_ = false;
  std::string text_;
  std::size_t sent_ = 0;  // bytes of the reply's text
  Outcome outcome_;
  double logprob_sum_ = 0;
  std::int64_t sampled_ = 0;
};

Result<std::vector<TokenId>> prompt_of(const ServedDecoder& decoder,
                                       const CompletionRequest& request) {
  if (request.chat)
    return decoder.format.prompt(request.messages, request.tools, request.variables);
  return request.tokens.empty() ? text_prompt(*decoder.model, request.text) : request.tokens;
}

// The code by which clients know that they have to shorten a conversation.
Failure too_long(const ServedDecoder& decoder, const CompletionRequest& request,
                 std::size_t tokens) {
  const std::int64_t context = decoder.generator->context();
  return to_failure({400,
                     fmt::format("the prompt has {} tokens: with a context of {} at most {}",
                                 tokens, context, context - 1),
                     request.chat ? "messages" : "prompt", "context_length_exceeded"});
}

}  // namespace

Async<Expected<Reply>> decoder_answer(GenerationService& decoders, std::size_t model,
                                      CompletionRequest request, bool want_confidence,
                                      std::shared_ptr<net::Departure> departure) {
  const ServedDecoder& decoder = decoders.model(model);
  auto prompt = prompt_of(decoder, request);
  if (!prompt) co_return std::unexpected(to_failure(to_api_error(prompt.error())));
  if (std::cmp_greater_equal(prompt->size(), decoder.generator->context()))
    co_return std::unexpected(too_long(decoder, request, prompt->size()));
  request.generation.prompt = *std::move(prompt);
  const bool show_logprobs = request.generation.logprobs >= 0;
  if (want_confidence && !show_logprobs) request.generation.logprobs = 0;
  auto stream = co_await decoders.start(model, request.generation);
  if (!stream) co_return std::unexpected(to_failure(to_api_error(stream.error())));
  auto events =
      std::make_unique<DecoderEvents>(decoder, request, show_logprobs, *std::move(stream));
  if (departure) events->end_with(*departure);
  if (request.stream) co_return Reply{.events = std::move(events), .outcome = {}};
  auto reply = co_await events->whole();
  co_return reply;
}

}  // namespace tack::server
