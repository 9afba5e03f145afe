// What guards say, over HTTP: POST /v1/guard runs the configuration's own stages, POST
// /v1/moderations answers in OpenAI's shape.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "gateway/guarding.h"
#include "server/api.h"
#include "server/openai.h"

namespace tack::server {

using GuardModels = std::map<std::string, guard::GuardModel, std::less<>>;  // by served name

struct ModerationRequest {
  std::string model;  // "": not given
  std::vector<std::string> texts;
};
ApiResult<ModerationRequest> parse_moderation_request(std::string_view body);

// {"input": TEXT} or {"messages": [...]}, "stage": "input" (default), "pre_flight" or "output": the
// answer is then the input, or the last message.
struct GuardRequest {
  guard::Stage stage = guard::Stage::kInput;
  guard::Subject subject;
};
ApiResult<GuardRequest> parse_guard_request(std::string_view body);

// One result: `scores` are the probabilities of the head's labels, of which one is "safe"; flagged
// from `threshold` on. OpenAI's categories are made of ours; of those that ours do not tell apart
// ("violence/graphic") the score is 0.
Json moderation_json(const std::vector<std::string>& labels, const std::vector<double>& scores,
                     double threshold);

// The services, the models and the guarding (null: nothing is configured) outlive the handlers.
void add_guard_routes(const AddLocal& add, EncoderService& encoders,
                      const GenerationService& decoders, const GuardModels& models,
                      const gateway::Guarding* guarding);

}  // namespace tack::server
