// Any bytes as the body of a chat completion: an error, or a text that names one of the labels or
// none, with counts that add up without overflow.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "tasks/chat_client.h"
#include "tasks/label_prompt.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const tack::LabelSet labels = *tack::LabelSet::create({"a", "Über uns", "no."});
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const auto answer = tack::parse_chat_answer(body, size);
  if (answer && (answer->tokens.prompt < 0 || answer->tokens.completion < 0 ||
                 answer->tokens.prompt > 1'000'000'000))
    std::abort();
  const auto label = labels.match(answer ? std::string_view(answer->text) : body);
  if (label && std::ranges::find(labels.names(), *label) == labels.names().end()) std::abort();
  return 0;
}
