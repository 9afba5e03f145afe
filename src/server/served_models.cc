#include "server/served_models.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "gateway/router_card.h"
#include "server/decoder_answer.h"
#include "server/fields.h"
#include "server/model_choice.h"
#include "server/openai.h"
#include "server/task_answer.h"
#include "text/span.h"

namespace tack::server {

using gateway::Call;
using gateway::Expected;
using gateway::Failure;
using gateway::Operation;
using gateway::Reply;
using net::Async;

namespace {

bool suits(const ModelInfo& model, Operation operation) {
  if (operation == Operation::kEmbeddings) return embeds(model);
  return operation == Operation::kChat && (classifies(model) || tags(model));
}

std::string_view doing(Operation operation) {
  return operation == Operation::kEmbeddings ? "give embeddings" : "generate text";
}

Failure not_supported(std::string_view model, Operation operation) {
  return {.status = 400,
          .message = fmt::format("the model '{}' does not {}", model, doing(operation)),
          .type = "invalid_request_error",
          .code = "model_not_supported",
          .param = "model"};
}

template <class Service>
std::optional<std::size_t> find_model(const Service& service, std::string_view id) {
  for (std::size_t i = 0; i < service.model_count(); ++i)
    if (service.model(i).id == id) return i;
  return std::nullopt;
}

// Tokenizing runs on the thread that moves everybody's bytes: it gets what so many tokens need.
Tokens first_tokens(const Tokenizer& tokenizer, std::string_view text, std::int64_t most) {
  std::size_t end = std::min<std::size_t>(text.size(), static_cast<std::size_t>(most) * 64);
  while (end < text.size() && end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U)
    --end;  // not within a character
  return tokenizer.encode(text.substr(0, end), most);
}

// What tag_json() says, whose positions count characters.
std::vector<Span> spans_in_bytes(const Json& tagged, std::string_view text) {
  const std::vector<std::int64_t> offsets = character_offsets(text);
  std::vector<Span> spans;
  for (const Json& span : tagged.at("spans"))
    spans.push_back({offsets.at(span.at("start").get<std::size_t>()),
                     offsets.at(span.at("end").get<std::size_t>()),
                     span.at("label").get<std::string>()});
  return spans;
}

Async<Expected<Reply>> embeddings(EncoderService& encoders, std::size_t model,
                                  std::shared_ptr<const Call> call) {
  auto request = parse_embedding_request(call->body);
  if (!request) co_return std::unexpected(to_failure(request.error()));
  const ModelInfo& info = encoders.model(model);
  if (const auto valid = check(*request, info); !valid)
    co_return std::unexpected(to_failure(valid.error()));
  Result<Embedded> result;
  double cpu_seconds = 0;
  if (request->input.tokens.empty())
    result = co_await encoders.embed(model, std::move(request->input.texts), &cpu_seconds);
  else
    result = co_await encoders.embed_tokens(model, std::move(request->input.tokens), &cpu_seconds);
  if (!result) co_return std::unexpected(to_failure(to_api_error(result.error())));
  Reply reply{.body = embeddings_json(*result, info, request->base64),
              .outcome = {.cpu_seconds = cpu_seconds}};
  for (const EncodedText& text : result->info) reply.outcome.tokens.prompt += text.tokens;
  co_return reply;
}

}  // namespace

bool ServedModels::serves(std::string_view model) const {
  return find_model(encoders_, model) || find_model(decoders_, model);
}

std::vector<std::string> ServedModels::names(Operation operation) const {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < decoders_.model_count(); ++i)
    if (operation != Operation::kEmbeddings) all.push_back(decoders_.model(i).id);
  for (std::size_t i = 0; i < encoders_.model_count(); ++i)
    if (suits(encoders_.model(i), operation)) all.push_back(encoders_.model(i).id);
  return all;
}

Expected<std::string> ServedModels::only_model(Operation operation) const {
  const std::vector<std::string> all = names(operation);
  if (all.size() == 1) return all.front();
  if (all.empty()) return std::unexpected(to_failure(no_model_for(doing(operation))));
  return std::unexpected(to_failure(
      bad("model", fmt::format("'model' is missing; one of: {}", fmt::join(all, ", "))).error()));
}

Failure ServedModels::no_such_model(std::string_view name) const {
  return to_failure(server::no_such_model(served_ids(encoders_, decoders_), name));
}

Async<Expected<Reply>> ServedModels::answer(std::shared_ptr<const Call> call, std::string model) {
  const auto decoder = find_model(decoders_, model);
  const auto encoder = find_model(encoders_, model);
  if (!decoder && !encoder) co_return std::unexpected(no_such_model(model));
  const bool able = decoder ? call->operation != Operation::kEmbeddings
                            : suits(encoders_.model(*encoder), call->operation);
  if (!able) co_return std::unexpected(not_supported(model, call->operation));
  if (call->operation == Operation::kEmbeddings) {
    auto reply = co_await embeddings(encoders_, *encoder, std::move(call));
    co_return reply;
  }
  auto request = call->operation == Operation::kChat ? parse_chat_request(call->body)
                                                     : parse_completion_request(call->body);
  if (!request) co_return std::unexpected(to_failure(request.error()));
  if (decoder) {
    auto reply = co_await decoder_answer(decoders_, *decoder, *std::move(request),
                                         call->want_confidence, call->departure);
    co_return reply;
  }
  auto reply = co_await task_answer(encoders_, *encoder, *std::move(request));
  co_return reply;
}

Async<Expected<ServedModels::Intent>> ServedModels::intent(std::string model, std::string text) {
  const auto index = find_model(encoders_, model);
  if (!index) co_return std::unexpected(no_such_model(model));
  const ModelInfo& info = encoders_.model(*index);
  if (info.labels.empty())
    co_return std::unexpected(Failure{.status = 400,
                                      .message = fmt::format("'{}' has no labels", model),
                                      .type = "invalid_request_error"});
  std::vector<std::string> texts(1, std::move(text));
  const auto predicted = co_await encoders_.classify(*index, std::move(texts));
  if (!predicted) co_return std::unexpected(to_failure(to_api_error(predicted.error())));
  const Prediction& first = predicted->front();
  const auto& labels = info.heads.empty() ? info.labels : info.heads.front().labels;
  co_return Intent{labels[first.label], first.probabilities[first.label], first.out_of_scope};
}

Async<Expected<std::vector<float>>> ServedModels::embed(std::string model, std::string text,
                                                        std::int64_t most_tokens) {
  const auto index = find_model(encoders_, model);
  if (!index || !embeds(encoders_.model(*index))) co_return std::unexpected(no_such_model(model));
  const std::int64_t context = encoders_.model(*index).context_length;
  std::vector<Tokens> inputs(
      1, first_tokens(encoders_.tokenizer(*index), text, std::min(most_tokens, context)));
  auto embedded = co_await encoders_.embed_tokens(*index, std::move(inputs));
  if (!embedded) co_return std::unexpected(to_failure(to_api_error(embedded.error())));
  co_return std::move(embedded->vectors);
}

Async<Expected<guard::Answer>> ServedModels::ask(guard::Question question) {
  const auto index = find_model(encoders_, question.model);
  if (!index) co_return std::unexpected(no_such_model(question.model));
  const ModelInfo& info = encoders_.model(*index);
  guard::Answer answer;
  if (question.tags != info.tags)
    co_return std::unexpected(Failure{
        .status = 400,
        .message =
            fmt::format("'{}' {}", question.model, info.tags ? "finds spans" : "finds no spans")});
  if (!question.tags) {
    auto predicted = co_await encoders_.classify(*index, std::move(question.texts));
    if (!predicted) co_return std::unexpected(to_failure(to_api_error(predicted.error())));
    answer.labels = *std::move(predicted);
    co_return answer;
  }
  const std::vector<std::string> texts = question.texts;
  const auto tagged = co_await encoders_.tag(*index, std::move(question.texts));
  if (!tagged) co_return std::unexpected(to_failure(to_api_error(tagged.error())));
  for (std::size_t i = 0; i < tagged->size(); ++i)
    answer.spans.push_back(spans_in_bytes((*tagged)[i].answer, texts[i]));
  co_return answer;
}

std::map<std::string, guard::GuardModel, std::less<>> guard_models(
    const std::vector<std::unique_ptr<ServedModel>>& models) {
  std::map<std::string, guard::GuardModel, std::less<>> all;
  for (const auto& model : models) {
    const ModelInfo& info = model->info();
    guard::GuardModel& own = all[info.id];
    own.context_length = info.context_length;
    own.thresholds = info.thresholds;
    if (info.tags)
      own.spans = info.labels;
    else if (!info.heads.empty())
      own.heads = info.heads;
    else if (!info.labels.empty())
      own.heads = {TaskHead{.labels = info.labels}};
  }
  return all;
}

Result<std::vector<gateway::ServedEncoder>> served_encoders(
    const std::vector<std::unique_ptr<ServedModel>>& models) {
  std::vector<gateway::ServedEncoder> encoders;
  for (const auto& model : models) {
    if (!embeds(model->info())) continue;
    const std::vector<Tokens> probe(
        1, first_tokens(model->tokenizer(), gateway::kEncoderProbe, gateway::kEncoderTokens));
    TACK_TRY(auto embedded, model->embed_tokens(probe));
    encoders.push_back({model->info().id, std::move(embedded.vectors)});
  }
  return encoders;
}

}  // namespace tack::server
