#include "server/generation_api.h"

#include <algorithm>
#include <ctime>

#include <fmt/ranges.h>

#include "server/completions.h"
#include "server/fields.h"
#include "server/model_choice.h"

namespace tack::server {
namespace {

using net::Async;
using net::Request;
using net::Response;
using net::ResponseStream;

std::string new_id(bool chat) {
  return make_id(chat ? "chatcmpl" : "cmpl");
}

bool answers_chats(const ModelInfo& model) {
  return !model.labels.empty() || model.tags;
}

// Where a request goes: a decoder, or a task model.
struct Place {
  bool decoder = false;
  std::size_t index = 0;
};

ApiResult<Place> choose(const EncoderService& encoders, const GenerationService& decoders,
                        const CompletionRequest& request) {
  std::vector<std::pair<std::string, Place>> suitable;
  for (std::size_t i = 0; i < decoders.model_count(); ++i)
    suitable.emplace_back(decoders.model(i).id, Place{true, i});
  for (std::size_t i = 0; i < encoders.model_count(); ++i) {
    if (request.chat && answers_chats(encoders.model(i)))
      suitable.emplace_back(encoders.model(i).id, Place{false, i});
    else if (encoders.model(i).id == request.model)
      return std::unexpected(
          ApiError{400, fmt::format("the model '{}' does not generate text", request.model),
                   "model", "model_not_supported"});
  }
  std::vector<std::string> ids;
  for (const auto& [id, place] : suitable) {
    if (id == request.model) return place;
    ids.push_back(id);
  }
  if (request.model.empty() && suitable.size() == 1) return suitable.front().second;
  if (!request.model.empty())
    return std::unexpected(no_such_model(served_ids(encoders, decoders), request.model));
  if (suitable.empty()) return std::unexpected(no_model_for("generate text"));
  return bad("model", fmt::format("'model' is missing; one of: {}", fmt::join(ids, ", ")));
}

// --- task models

// What a task model says to a chat, as one piece.
struct TaskAnswer {
  std::string content;
  Json logprobs;
  std::int64_t tokens = 0;
};

Async<ApiResult<TaskAnswer>> ask_task(EncoderService& encoders, std::size_t index,
                                      const CompletionRequest& request) {
  const ModelInfo& model = encoders.model(index);
  if (request.must_call)
    co_return bad("tool_choice", fmt::format("the model '{}' calls no tools", model.id));
  const auto last = std::find_if(request.messages.rbegin(), request.messages.rend(),
                                 [](const chat::Message& m) { return m.role == "user"; });
  if (last == request.messages.rend() || !last->content)
    co_return bad("messages", "'messages' has no message of the user to classify");
  std::vector<std::string> texts{*last->content};
  TaskAnswer answer;
  if (model.tags) {
    const auto tagged = co_await encoders.tag(index, std::move(texts));
    if (!tagged) co_return std::unexpected(to_api_error(tagged.error()));
    answer.content = to_text(tagged->front().answer);
    answer.tokens = tagged->front().tokens;
    co_return answer;
  }
  const auto predicted = co_await encoders.classify(index, std::move(texts));
  if (!predicted) co_return std::unexpected(to_api_error(predicted.error()));
  const Prediction& first = predicted->front();
  answer.tokens = first.tokens;
  const bool as_json = request.generation.form.kind == OutputForm::Kind::kSchema;
  if (!model.heads.empty()) {
    Json labels = Json::object();
    for (std::size_t h = 0; h < model.heads.size(); ++h)
      labels[model.heads[h].name] = model.heads[h].labels[(*predicted)[h].label];
    answer.content = to_text(labels);
  } else if (model.multilabel) {
    Json labels = Json::array();
    for (const std::size_t label : first.labels) labels.push_back(model.labels[label]);
    answer.content = to_text(Json{{"labels", labels}});
  } else {
    answer.content = as_json ? to_text(Json{{"label", model.labels[first.label]},
                                            {"out_of_scope", first.out_of_scope}})
                             : model.labels[first.label];
    if (request.generation.logprobs >= 0)
      answer.logprobs = label_logprobs_json(first, model.labels, request.generation.logprobs);
  }
  co_return answer;
}

Async<Response> task_completion(EncoderService& encoders, std::size_t index,
                                CompletionRequest request) {
  const auto answer = co_await ask_task(encoders, index, request);
  if (!answer) co_return answer.error().response();
  const CompletionWriter writer(true, new_id(true), encoders.model(index).id, std::time(nullptr));
  const Usage usage{.prompt_tokens = answer->tokens, .output_tokens = 1};
  if (!request.stream)
    co_return Response::json(200,
                             writer.whole({answer->content, {}}, "stop", usage, answer->logprobs));
  std::string events = net::sse_event(to_text(writer.first_event()));
  events += net::sse_event(to_text(writer.event(answer->content, answer->logprobs)));
  events += net::sse_event(to_text(writer.last_event("stop")));
  if (request.include_usage) events += net::sse_event(to_text(writer.usage_event(usage)));
  events += net::sse_event("[DONE]");
  net::StreamProducer producer = [events](ResponseStream& out) -> Async<void> {
    co_await out.write(events);
  };
  co_return Response::events(std::move(producer));
}

// --- decoders

// One answer that is being written: the request's stream, and how it becomes JSON.
class Answer {
 public:
  Answer(const ServedDecoder& decoder, const CompletionRequest& request,
         std::unique_ptr<GenerationService::Stream> stream)
      : decoder_(decoder),
        chat_(request.chat),
        tools_(!request.tools.is_null()),
        tool_format_(request.must_call ? chat::ToolFormat::kJson : decoder.format.tool_format()),
        logprobs_(request.generation.logprobs >= 0),
        include_usage_(request.include_usage),
        writer_(request.chat, new_id(request.chat), decoder.id, std::time(nullptr)),
        stream_(std::move(stream)) {}

  Async<Response> whole() {
    std::vector<SampledToken> tokens;
    for (;;) {
      auto update = co_await stream_->next();
      if (!update) co_return to_api_error(update.error()).response();
      text_ += update->text;
      tokens.insert(tokens.end(), update->tokens.begin(), update->tokens.end());
      if (!update->end) continue;
      if (update->end->error) co_return to_api_error(*update->end->error).response();
      const chat::Reply reply = reply_of(text_);
      co_return Response::json(
          200, writer_.whole(reply, reason(*update->end, reply), usage_of(*update->end),
                             logprobs_ ? logprobs_json(tokens, tokenizer(), chat_) : Json()));
    }
  }

  // Ends early when the client is gone: the stream's end stops the generation.
  Async<void> events(ResponseStream& out) {
    if (chat_) {
      const bool there = co_await out.write(net::sse_event(to_text(writer_.first_event())));
      if (!there) co_return;
    }
    for (;;) {
      auto update = co_await stream_->next();
      std::string events;
      const bool ended = !update || update->end.has_value();
      if (!update)
        events = error_event(update.error());
      else if (update->end && update->end->error)
        events = error_event(*update->end->error);
      else
        events = events_of(*update);
      if (ended) events += net::sse_event("[DONE]");
      if (!events.empty()) {
        const bool there = co_await out.write(std::move(events));
        if (!there) co_return;
      }
      if (ended) co_return;
    }
  }

 private:
  const Tokenizer& tokenizer() const { return decoder_.model->tokenizer(); }

  // Calls are looked for only where tools were offered.
  chat::Reply reply_of(const std::string& text) const {
    if (!tools_) return {text, {}};
    chat::Reply reply = chat::parse_reply(text, tool_format_);
    for (chat::ToolCall& call : reply.calls)
      if (call.id.empty()) call.id = chat::make_call_id(std::hash<std::string>{}(new_id(true)));
    return reply;
  }
  static std::string_view reason(const GenerationEnd& end, const chat::Reply& reply) {
    return reply.calls.empty() ? finish_reason_name(end.reason) : "tool_calls";
  }
  static Usage usage_of(const GenerationEnd& end) {
    return {.prompt_tokens = end.prompt_tokens,
            .cached_tokens = end.reused_tokens,
            .output_tokens = end.output_tokens};
  }
  static std::string error_event(const Error& error) {
    return net::sse_event(to_api_error(error).response().body);
  }

  std::string events_of(const GenerationUpdate& update) {
    text_ += update.text;
    Json logprobs;
    if (logprobs_ && !update.tokens.empty())
      logprobs = logprobs_json(update.tokens, tokenizer(), chat_);
    std::string events;
    const auto add = [&](const Json& event) { events += net::sse_event(to_text(event)); };
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
    if (!update.end) return events;
    if (!reply.calls.empty()) add(writer_.tool_calls_event(reply.calls));
    add(writer_.last_event(reason(*update.end, reply)));
    if (include_usage_) add(writer_.usage_event(usage_of(*update.end)));
    return events;
  }

  const ServedDecoder& decoder_;
  const bool chat_, tools_;
  const chat::ToolFormat tool_format_;
  const bool logprobs_, include_usage_;
  const CompletionWriter writer_;
  std::unique_ptr<GenerationService::Stream> stream_;
  std::string text_;
  std::size_t sent_ = 0;  // bytes of the reply's text
};

ApiResult<std::vector<TokenId>> prompt_of(const ServedDecoder& decoder,
                                          const CompletionRequest& request) {
  if (!request.chat)
    return request.tokens.empty() ? text_prompt(*decoder.model, request.text) : request.tokens;
  auto prompt = decoder.format.prompt(request.messages, request.tools, request.variables);
  if (!prompt) return std::unexpected(to_api_error(prompt.error()));
  return *std::move(prompt);
}

Async<Response> generate(GenerationService& decoders, std::size_t index,
                         CompletionRequest request) {
  const ServedDecoder& decoder = decoders.model(index);
  auto prompt = prompt_of(decoder, request);
  if (!prompt) co_return prompt.error().response();
  request.generation.prompt = *std::move(prompt);
  auto stream = co_await decoders.start(index, request.generation);
  if (!stream) co_return to_api_error(stream.error()).response();
  auto answer = std::make_shared<Answer>(decoder, request, *std::move(stream));
  if (!request.stream) {
    Response response = co_await answer->whole();
    co_return response;
  }
  net::StreamProducer producer = [answer](ResponseStream& out) -> Async<void> {
    co_await answer->events(out);
  };
  co_return Response::events(std::move(producer));
}

Async<Response> complete(EncoderService& encoders, GenerationService& decoders,
                         ApiResult<CompletionRequest> request) {
  if (!request) co_return request.error().response();
  const auto place = choose(encoders, decoders, *request);
  if (!place) co_return place.error().response();
  if (place->decoder) {
    Response response = co_await generate(decoders, place->index, *std::move(request));
    co_return response;
  }
  Response response = co_await task_completion(encoders, place->index, *std::move(request));
  co_return response;
}

}  // namespace

void add_generation_routes(net::Router& router, EncoderService& encoders,
                           GenerationService& decoders) {
  router.add("POST", "/v1/completions", [&](Request request) {
    return complete(encoders, decoders, parse_completion_request(request.body));
  });
  router.add("POST", "/v1/chat/completions", [&](Request request) {
    return complete(encoders, decoders, parse_chat_request(request.body));
  });
}

}  // namespace tack::server
