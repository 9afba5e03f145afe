// What became of each request: which models were asked, what they used and cost, and what the
// answer would have cost elsewhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tack::store {

// Money in billionths of the currency that prices are written in (dollars, as a rule): sums are
// exact.
using Nano = std::int64_t;

struct TokenUse {
  std::int64_t prompt = 0, completion = 0;
  std::int64_t cached = 0;  // of the prompt's: read from a cache of the provider
  bool estimated = false;   // counted here, since the answer did not say
};

// What a million tokens cost, in the currency's units (2.5: $2.50).
struct Price {
  double input = 0, output = 0;
  std::optional<double> cached_input;  // unset: as input

  // Rounded to the nearest billionth, once for all tokens of an answer.
  Nano cost(const TokenUse& use) const;
};

// Why a model was asked.
enum class Purpose : std::uint8_t {
  kAnswer,     // its answer is the client's
  kEscalated,  // it answered, with too little confidence: the next model was asked
  kFailed,     // it gave no answer: the next model was asked, or the client got the error
  kShadow,     // beside the answer, to compare
};

// One model asked once. Every one is billed.
struct Attempt {
  std::string model;  // "tickets" or "openai/gpt-4.1"
  bool local = false;
  Purpose purpose = Purpose::kAnswer;
  int status = 200;  // of HTTP; 0: no connection, or it broke off
  TokenUse tokens;
  Nano cost = 0;
  double cpu_seconds = 0;  // of a local model
  double first_byte_ms = 0, total_ms = 0;
};

struct CallRecord {
  std::int64_t time_us = 0;  // since 1970, when the request came
  std::string id;            // x-request-id
  std::string endpoint;      // "/v1/chat/completions"
  std::string client;        // the key's name; "" without keys
  std::string workload;  // what the client says it is for; else the route or the model asked for
  std::string route;     // "" when a model was addressed by its name
  std::string model;     // whose answer it was; "" when there is none
  std::string reason;    // in words
  int status = 200;      // what the client got
  bool streamed = false, from_cache = false;
  double total_ms = 0;
  std::vector<Attempt> attempts;
  // The model that would have answered without routing, and what it would have charged; "" when
  // none is known, and then nothing is saved or lost.
  std::string baseline;
  TokenUse baseline_tokens;
  Nano baseline_cost = 0;
  std::optional<bool> agreed;                    // what the shadow's answer said
  std::optional<std::string> request, response;  // JSON; only where contents are logged

  Nano cost() const;  // of all attempts
  // baseline_cost - cost(); negative when routing cost more than it saved.
  Nano savings() const { return baseline.empty() ? 0 : baseline_cost - cost(); }
};

}  // namespace tack::store
