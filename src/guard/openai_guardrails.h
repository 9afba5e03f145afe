// The JSON configuration of OpenAI's Guardrails (the Python package openai-guardrails, 0.3) as
// checks of ours.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "guard/guard_config.h"

namespace tack::guard {

struct OpenAiGuardrails {
  std::vector<CheckConfig> pre_flight, input, output;
  std::vector<std::string> warnings;  // what is read otherwise than there
};

// {"version": 1, "pre_flight": {"version": 1, "guardrails": [{"name": "Keyword Filter", "config":
// {"keywords": [...]}}]}, "input": ..., "output": ...}. docs/guard.md says what becomes of each.
// Errors (kUsage) begin with `name` and the place, "input: guardrails 2 (Off Topic Prompts)": what
// asks a large model how a text feels has no counterpart, and the error says what to use instead.
Result<OpenAiGuardrails> parse_openai_guardrails(std::string_view text, std::string_view name);

}  // namespace tack::guard
