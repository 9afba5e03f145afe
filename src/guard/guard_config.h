// [guard]: which checks run in which stage, as data. src/gateway/config_guard.cc reads it from
// tack.toml, openai_guardrails.h from the JSON of OpenAI's Guardrails.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tack::guard {

enum class Stage : std::uint8_t { kPreFlight, kInput, kOutput };
std::string_view stage_name(Stage stage);  // "pre_flight", "input", "output"
std::optional<Stage> stage_named(std::string_view name);

enum class CheckKind : std::uint8_t {
  kUnsafe,     // unsafe content by category: a task model
  kInjection,  // instructions that the operator did not give: a task model
  kTopic,      // intents in scope: a task model
  kPii,        // personal data
  kSecrets,    // keys and passwords
  kWords,      // a list of words and phrases
  kRegex,
  kUrls,  // hosts and schemes that links may have
  kLanguage,
  kLength,
  kSchema,    // the answer is JSON of a schema
  kGrounded,  // the answer says what the given texts say
};
std::string_view check_kind_name(CheckKind kind);  // "unsafe"

// One check; what a kind does not use stays empty.
struct CheckConfig {
  CheckKind kind = CheckKind::kUnsafe;
  std::string name;   // in verdicts; the kind's name by default
  std::string model;  // of kUnsafe, kInjection, kTopic, kPii (a tagger); "": the guard's
  std::string head;   // of a model with several; "": the kind's own
  std::optional<double> threshold;           // trips from there on; unset: the model's own
  std::map<std::string, double> thresholds;  // of single categories
  // Labels, entities or languages: what trips, or for kTopic and kLanguage what may pass. Empty:
  // all, of kTopic all that are in scope.
  std::vector<std::string> only;
  std::vector<std::string> words, patterns;  // of kWords, kRegex
  std::vector<std::string> allow;  // hosts of kUrls; words that kPii and kSecrets pass over
  std::optional<std::int64_t> min_chars, max_chars, max_tokens;  // of kLength; tokens estimated
  std::string schema;                                            // JSON text, of kSchema
  bool mask = false;     // kPii in kPreFlight: replace in place of refusing
  bool observe = false;  // only recorded
  int line = 0;
};

struct GuardConfig {
  bool enabled = false;
  bool observe = false;                      // all checks only record
  bool pass_on_error = false;                // false: a check that fails or is late blocks
  std::chrono::milliseconds timeout{2'000};  // of a stage
  std::string model = "guard";               // of checks that name none
  std::int64_t max_windows = 64;  // texts that a check may show its model; more: it fails
  std::string refusal;            // what a blocked answer says to people; "": a default
  std::vector<CheckConfig> pre_flight, input, output;
  int line = 0;

  const std::vector<CheckConfig>& checks(Stage stage) const;
};

}  // namespace tack::guard
