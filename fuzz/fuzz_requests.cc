// Any text as the body of a request; the first byte picks the endpoint. It is refused with a 400 or
// 413 of one line, or understood: then typed questions have an answer each whose numbers are
// probabilities, and a call that must be made has a schema that compiles or says in one line why
// not.
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "server/completions.h"
#include "server/decisions.h"
#include "server/fields.h"
#include "server/similarity.h"
#include "server/tokens.h"
#include "server/tool_choice.h"
#include "text/json_schema.h"

namespace {

using namespace tack;
using namespace tack::server;

template <class T>
bool understood(const ApiResult<T>& parsed) {
  if (parsed) return true;
  const ApiError& error = parsed.error();
  if (error.status != 400 && error.status != 413) std::abort();
  if (error.message.empty()) std::abort();
  const Json body = Json::parse(error.response().body);  // throws on what is no JSON
  if (!body["error"]["message"].is_string()) std::abort();
  return false;
}

void check_probability(const Json& value) {
  const double p = value.get<double>();
  if (!(p >= 0 && p <= 1 + 1e-9)) std::abort();
}

void check_decisions(std::string_view body) {
  const auto request = parse_decision_request(body);
  if (!understood(request)) return;
  ModelInfo model{.id = "m"};
  model.heads = {{"h", 0, {"a", "b", "c"}, {}}, {"u", 3, {"yes", "no"}, {}}};
  std::vector<Prediction> said(2);
  said[0].probabilities = {0.5F, 0.25F, 0.25F};
  said[1].probabilities = {0.0F, 1.0F};
  const Json json = decision_json(*request, model, said);
  if (json["answers"].size() != request->questions.size()) std::abort();
  for (const Json& answer : json["answers"]) {
    if (answer.contains("probability")) check_probability(answer["probability"]);
    if (!answer.contains("probabilities")) continue;
    double sum = 0;
    for (const Json& option : answer["probabilities"]) {
      check_probability(option["probability"]);
      sum += option["probability"].get<double>();
    }
    if (std::abs(sum - 1) > 1e-6) std::abort();
  }
}

void check_completion(std::string_view body, bool chat) {
  const auto json = parse_object(body);
  if (!understood(json)) return;
  const auto request = chat ? parse_chat_request(*json) : parse_completion_request(*json);
  if (!understood(request) || !request->must_call) return;
  const auto compiled = compile_json_schema(request->generation.form.schema);
  if (!compiled && compiled.error().message.empty()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 9) {
    case 0:
      check_completion(body, true);
      break;
    case 1:
      check_completion(body, false);
      break;
    case 2:
      check_decisions(body);
      break;
    case 3:
      understood(parse_classify_request(body));
      break;
    case 4:
      understood(parse_extract_request(body));
      break;
    case 5:
      understood(parse_rerank_request(body));
      break;
    case 6:
      understood(parse_score_request(body));
      break;
    case 7:
      understood(parse_tokenize_request(body));
      break;
    default:
      understood(parse_detokenize_request(body));
  }
  return 0;
}
