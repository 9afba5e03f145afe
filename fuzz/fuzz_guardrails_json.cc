// Any text as the JSON configuration of OpenAI's Guardrails: an error of one line, or checks that
// are right or say what is wrong with them.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "guard/guard.h"
#include "guard/openai_guardrails.h"

namespace {

using namespace tack::guard;

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto all = parse_openai_guardrails(text, "fuzz.json");
  if (!all) {
    require(all.error().message.starts_with("fuzz.json"));
    return 0;
  }
  GuardConfig config;
  config.pre_flight = all->pre_flight;
  config.input = all->input;
  config.output = all->output;
  const auto guard = Guard::create(config, [](const std::string&) -> tack::Result<GuardModel> {
    GuardModel model;
    model.heads = {{"harm", 0, {"safe", "violence", "sexual"}, {}},
                   {"injection", 3, {"none", "direct"}, {}}};
    model.context_length = 64;
    return model;
  });
  require(guard || !guard.error().message.empty());
  return 0;
}
