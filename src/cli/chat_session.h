// A conversation in the terminal.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/chat_format.h"
#include "engine/generator.h"

namespace tack {

struct GenerationSettings {
  std::int64_t max_tokens = -1;
  SamplingOptions sampling;
  std::vector<std::string> stops;
  OutputForm form;
};

struct Written {
  std::string text;
  GenerationEnd end;
  double prompt_seconds = 0, output_seconds = 0;
  bool interrupted = false;
};

// Generates one answer; `on_text` gets it piece by piece. Ctrl-C stops it (`interrupted`).
Result<Written> write_answer(Generator& generator, std::vector<TokenId> prompt,
                             const GenerationSettings& settings,
                             const std::function<Status(std::string_view)>& on_text);

// "12 tokens of prompt (3 known), 25.0/s; 40 tokens, 18.2/s"
std::string describe(const Written& written);

// Reads lines from the terminal until /bye or the end of input, and answers them.
Status converse(Generator& generator, const ChatFormat& format, GenerationSettings settings,
                const std::string& system);

}  // namespace tack
