// Questions from any bytes; the first byte picks the format. Answers lie in their context; parts
// and scores of what was read hold together.
#include <cstdint>
#include <cstdlib>

#include "eval/answer_metrics.h"
#include "eval/questions.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  tack::DataSource source;
  source.path = "fuzz";
  source.format = data[0] & 1 ? tack::RowFormat::kJsonl : tack::RowFormat::kJson;
  const auto set =
      tack::parse_questions({reinterpret_cast<const char*>(data + 1), size - 1}, source);
  if (!set) return 0;
  for (std::size_t i = 0; i < set->size(); ++i) {
    const auto bytes = static_cast<std::int64_t>(set->context_of(i).size());
    for (const tack::Stretch& answer : set->questions[i].answers)
      if (answer.begin < 0 || answer.end <= answer.begin || answer.end > bytes) std::abort();
    const auto gold = set->answers_of(i);
    for (std::string_view text : gold)
      if (tack::score_answer(text, gold).exact != 1 && !tack::normalized_answer(text).empty())
        std::abort();
  }
  const tack::Split split = tack::split_questions(*set, 0.3, 1);
  if (split.first.size() + split.second.size() != set->size() || split.second.empty()) std::abort();
  return 0;
}
