#include "server/guard_api.h"

#include <algorithm>
#include <array>

#include "guard/passage_windows.h"
#include "server/fields.h"
#include "server/model_choice.h"
#include "server/request_fields.h"

namespace tack::server {
namespace {

using gateway::LocalUse;
using net::Async;
using net::Request;
using net::Response;

constexpr std::string_view kSafe = "safe";
constexpr std::string_view kHarm = "harm";
// Of one request, whatever its texts: a long one is refused, not looked at in part.
constexpr std::size_t kMostWindows = 2048;

// OpenAI's categories, in their order, and which of our labels are one.
struct Category {
  std::string_view name;
  std::array<std::string_view, 5> labels;
};
constexpr Category kCategories[] = {
    {"harassment", {"harassment"}},
    {"harassment/threatening", {}},
    {"hate", {"hate"}},
    {"hate/threatening", {}},
    {"illicit", {"cybercrime", "fraud", "drugs_weapons", "privacy", "misinformation"}},
    {"illicit/violent", {"drugs_weapons"}},
    {"self-harm", {"self_harm"}},
    {"self-harm/instructions", {}},
    {"self-harm/intent", {}},
    {"sexual", {"sexual"}},
    {"sexual/minors", {}},
    {"violence", {"violence"}},
    {"violence/graphic", {}},
};

// A text, texts, or parts of type "text".
ApiResult<std::vector<std::string>> texts_of(const Json& input) {
  if (input.is_string()) return std::vector{input.get<std::string>()};
  if (!input.is_array() || input.empty())
    return bad("input", "'input' must be a string or an array, not empty, of strings");
  if (input.size() > kMaxInputs)
    return bad("input", fmt::format("'input' has {} entries; at most {} in one request",
                                    input.size(), kMaxInputs));
  std::vector<std::string> texts;
  std::string parts;  // of one message
  for (const Json& entry : input) {
    const Json* text = entry.is_object() ? member(entry, "text") : &entry;
    if (text == nullptr || !text->is_string())
      return bad("input", "'input' must hold texts: images are not looked at");
    if (entry.is_object())
      parts += (parts.empty() ? "" : "\n") + text->get<std::string>();
    else
      texts.push_back(text->get<std::string>());
  }
  if (!parts.empty()) texts.push_back(std::move(parts));
  return texts;
}

const TaskHead* harm_head(const ModelInfo& model) {
  for (const TaskHead& head : model.heads)
    if (head.name == kHarm && std::ranges::find(head.labels, kSafe) != head.labels.end())
      return &head;
  return nullptr;
}
bool moderates(const ModelInfo& model) {
  return harm_head(model) != nullptr;
}

Async<Response> moderate(EncoderService& encoders, const GenerationService& decoders,
                         const GuardModels& models, Request request, LocalUse& use) {
  auto parsed = parse_moderation_request(request.body);
  if (!parsed) co_return parsed.error().response();
  const auto index = choose_encoder(encoders, decoders, parsed->model, moderates, "moderate");
  if (!index) co_return index.error().response();
  const ModelInfo& info = encoders.model(*index);
  const TaskHead& head = *harm_head(info);
  std::vector<std::string> windows;
  std::vector<std::size_t> owners;
  for (std::size_t i = 0; i < parsed->texts.size(); ++i)
    for (const std::string_view window :
         guard::cut_windows(parsed->texts[i], info.context_length)) {
      windows.emplace_back(window);
      owners.push_back(i);
    }
  if (windows.size() > kMostWindows)
    co_return bad("input", fmt::format("'input' is too long: {} windows of {} tokens, at most {}",
                                       windows.size(), info.context_length, kMostWindows))
        .error()
        .response();
  // Of a text's windows each label counts as in the one where it is the most probable.
  const std::size_t safe =
      static_cast<std::size_t>(std::ranges::find(head.labels, kSafe) - head.labels.begin());
  std::vector<std::vector<double>> scores(parsed->texts.size(),
                                          std::vector<double>(head.labels.size(), 0.0));
  for (auto& own : scores) own[safe] = 1;
  if (!windows.empty()) {
    const auto result = co_await encoders.classify(*index, std::move(windows), &use.cpu_seconds);
    if (!result) co_return to_api_error(result.error()).response();
    const std::size_t heads = std::max<std::size_t>(1, info.heads.size());
    const auto at = static_cast<std::size_t>(&head - info.heads.data());
    for (std::size_t w = 0; w < owners.size(); ++w) {
      const Prediction& said = (*result)[w * heads + at];
      use.tokens.prompt += said.tokens;
      std::vector<double>& own = scores[owners[w]];
      for (std::size_t l = 0; l < own.size(); ++l) {
        const auto probability = static_cast<double>(said.probabilities[l]);
        own[l] = l == safe ? std::min(own[l], probability) : std::max(own[l], probability);
      }
    }
  }
  use.model = info.id;
  double threshold = 0.5;
  if (const auto known = models.find(info.id); known != models.end())
    if (const auto own = known->second.thresholds.find(kHarm);
        own != known->second.thresholds.end())
      threshold = own->second.score.value_or(threshold);
  Json results = Json::array();
  for (const auto& own : scores) results.push_back(moderation_json(head.labels, own, threshold));
  Json body = {{"id", make_id("modr")}, {"model", info.id}, {"results", std::move(results)}};
  co_return Response::json(200, body);
}

Async<Response> judge(const gateway::Guarding* guarding, Request request) {
  auto parsed = parse_guard_request(request.body);
  if (!parsed) co_return parsed.error().response();
  const auto none = [](std::string why) {
    return ApiError{.status = 404, .message = std::move(why), .code = "no_guard"}.response();
  };
  if (guarding == nullptr)
    co_return none("no guard is configured: add a section [guard] to the configuration");
  if (!guarding->has(parsed->stage))
    co_return none(fmt::format("the guard has no checks in the stage '{}': add [[guard.{}]]",
                               guard::stage_name(parsed->stage), guard::stage_name(parsed->stage)));
  const guard::Verdict verdict = co_await guarding->run(parsed->stage, std::move(parsed->subject));
  Json body = verdict.to_json();
  body["stage"] = guard::stage_name(parsed->stage);
  co_return Response::json(200, body);
}

}  // namespace

ApiResult<ModerationRequest> parse_moderation_request(std::string_view body) {
  const auto json = parse_object(body, fields::moderations);
  if (!json) return std::unexpected(json.error());
  ModerationRequest request;
  auto model = optional_string(*json, "model");
  if (!model) return std::unexpected(model.error());
  // What the published clients' users write stands for the one that is here.
  const bool theirs =
      model->starts_with("omni-moderation") || model->starts_with("text-moderation");
  if (!theirs) request.model = *std::move(model);
  const Json* input = member(*json, "input");
  if (input == nullptr) return bad("input", "'input' is missing");
  auto texts = texts_of(*input);
  if (!texts) return std::unexpected(texts.error());
  request.texts = *std::move(texts);
  return request;
}

ApiResult<GuardRequest> parse_guard_request(std::string_view body) {
  const auto json = parse_object(body, fields::guard);
  if (!json) return std::unexpected(json.error());
  GuardRequest request;
  const auto stage = optional_string(*json, "stage");
  if (!stage) return std::unexpected(stage.error());
  const auto known = stage->empty() ? guard::Stage::kInput : guard::stage_named(*stage);
  if (!known) return bad("stage", "'stage' must be \"pre_flight\", \"input\" or \"output\"");
  request.stage = *known;
  const Json* input = member(*json, "input");
  const Json* messages = member(*json, "messages");
  if ((input == nullptr) == (messages == nullptr))
    return bad("input", "one of 'input' (a text) and 'messages' (a conversation) must be given");
  if (messages != nullptr) {
    if (!messages->is_array()) return bad("messages", "'messages' must be an array");
    gateway::Call call;
    call.body["messages"] = *messages;
    request.subject.passages = gateway::Guarding::passages_of(call);
    return request;
  }
  if (!input->is_string()) return bad("input", "'input' must be a string");
  const bool answer = request.stage == guard::Stage::kOutput;
  request.subject.passages.push_back(
      {answer ? guard::Role::kAssistant : guard::Role::kUser, input->get<std::string>()});
  return request;
}

Json moderation_json(const std::vector<std::string>& labels, const std::vector<double>& scores,
                     double threshold) {
  double unsafe = 0;
  Json own = Json::object();
  for (std::size_t l = 0; l < labels.size(); ++l) {
    own[labels[l]] = scores[l];
    if (labels[l] == kSafe) unsafe = 1 - scores[l];
  }
  const bool flagged = unsafe >= threshold;
  Json categories = Json::object(), category_scores = Json::object(), types = Json::object();
  for (const Category& category : kCategories) {
    double score = 0;
    for (const std::string_view label : category.labels)
      if (!label.empty() && own.contains(label)) score += own[std::string(label)].get<double>();
    score = std::min(score, 1.0);
    const std::string name(category.name);
    category_scores[name] = score;
    categories[name] = flagged && score >= unsafe / 4;
    types[name] = Json::array({"text"});
  }
  return {{"flagged", flagged},
          {"categories", std::move(categories)},
          {"category_scores", std::move(category_scores)},
          {"category_applied_input_types", std::move(types)},
          {"labels", std::move(own)},
          {"threshold", threshold}};
}

void add_guard_routes(const AddLocal& add, EncoderService& encoders,
                      const GenerationService& decoders, const GuardModels& models,
                      const gateway::Guarding* guarding) {
  add("/v1/moderations", [&, models = &models](Request request, LocalUse& use) {
    return moderate(encoders, decoders, *models, std::move(request), use);
  });
  add("/v1/guard",
      [guarding](Request request, LocalUse&) { return judge(guarding, std::move(request)); });
}

}  // namespace tack::server
