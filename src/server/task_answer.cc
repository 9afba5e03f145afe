#include "server/task_answer.h"

#include <algorithm>
#include <ctime>
#include <deque>

#include "server/fields.h"

namespace tack::server {
namespace {

using gateway::Expected;
using gateway::Outcome;
using gateway::Reply;
using net::Async;

// The least of the questions' answers; 0 for a text that is out of scope. Labels that are
// independent: how sure it is of the one it is least sure of.
double confidence(const std::vector<Prediction>& predictions, const ModelInfo& model) {
  double least = 1;
  for (const Prediction& p : predictions) {
    if (p.out_of_scope) return 0;
    if (!model.multilabel) least = std::min<double>(least, p.probabilities[p.label]);
    for (const float q : model.multilabel ? p.probabilities : std::vector<float>())
      least = std::min<double>(least, std::max(q, 1 - q));
  }
  return least;
}

// What a task model says to a chat, as one piece.
struct TaskAnswer {
  std::string content;
  Json logprobs;
  Outcome outcome;
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
  TaskAnswer answer{
      .outcome = {.tokens = {.completion = 1}, .finish_reason = "stop", .whole_prompt = false}};
  double& cpu_seconds = answer.outcome.cpu_seconds;
  if (model.tags) {
    const auto tagged = co_await encoders.tag(index, std::move(texts), &cpu_seconds);
    if (!tagged) co_return std::unexpected(to_api_error(tagged.error()));
    answer.content = to_text(tagged->front().answer);
    answer.outcome.tokens.prompt = tagged->front().tokens;
    co_return answer;
  }
  const auto predicted = co_await encoders.classify(index, std::move(texts), &cpu_seconds);
  if (!predicted) co_return std::unexpected(to_api_error(predicted.error()));
  const Prediction& first = predicted->front();
  answer.outcome.tokens.prompt = first.tokens;
  answer.outcome.confidence = confidence(*predicted, model);
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

// An answer that is there already, event by event.
class ReadyEvents final : public gateway::EventStream {
 public:
  ReadyEvents(std::deque<std::string> events, Outcome outcome)
      : events_(std::move(events)), outcome_(std::move(outcome)) {}

  Async<Expected<std::optional<std::string>>> next() override {
    if (events_.empty()) co_return std::nullopt;
    std::optional<std::string> event = std::move(events_.front());
    events_.pop_front();
    co_return event;
  }
  Outcome outcome() const override { return outcome_; }

 private:
  std::deque<std::string> events_;
  const Outcome outcome_;
};

}  // namespace

Async<Expected<Reply>> task_answer(EncoderService& encoders, std::size_t model,
                                   CompletionRequest request) {
  const auto answer = co_await ask_task(encoders, model, request);
  if (!answer) co_return std::unexpected(to_failure(answer.error()));
  const CompletionWriter writer(true, make_id("chatcmpl"), encoders.model(model).id,
                                std::time(nullptr));
  const Outcome& outcome = answer->outcome;
  const Usage usage{.prompt_tokens = outcome.tokens.prompt,
                    .output_tokens = outcome.tokens.completion};
  if (!request.stream)
    co_return Reply{
        .body = to_text(writer.whole({answer->content, {}}, "stop", usage, answer->logprobs)),
        .outcome = outcome};
  std::deque<std::string> events;
  events.push_back(to_text(writer.first_event()));
  events.push_back(to_text(writer.event(answer->content, answer->logprobs)));
  events.push_back(to_text(writer.last_event("stop")));
  if (request.include_usage) events.push_back(to_text(writer.usage_event(usage)));
  co_return Reply{.events = std::make_unique<ReadyEvents>(std::move(events), outcome),
                  .outcome = {}};
}

}  // namespace tack::server
