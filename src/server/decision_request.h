// A request of POST /v1/decisions: OpenAI's typed questions about an input (the shapes are those of
// its Python client 3.57.0, types/decision_create_params.py). No I/O: tested as functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/openai.h"

namespace tack::server {

struct DecisionQuestion {
  enum class Kind : std::uint8_t {
    kPredicate,  // is what `instructions` state true?
    kChoice,     // which of `options`?
    kScore,      // how far up `options`?
  };
  Kind kind = Kind::kPredicate;
  std::optional<std::string> name;  // sent back with the answer
  std::string instructions;
  std::vector<Json> options;  // of a choice: strings and booleans; of a score: strings
};

struct DecisionRequest {
  std::string model;  // "": not given
  std::string text;   // what is decided about: the input, or the last message of the user in it
  std::vector<DecisionQuestion> questions;  // 1 to 400
};

// Errors name the place ("questions[2].choices[0].value"): images, options that are there twice.
ApiResult<DecisionRequest> parse_decision_request(std::string_view body);

}  // namespace tack::server
