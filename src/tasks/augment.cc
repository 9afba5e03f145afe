#include "tasks/augment.h"

#include <map>

#include "base/random.h"

namespace tack {

Dataset with_swapped_spans(const Dataset& data, std::int64_t copies, std::uint64_t seed) {
  const auto text_of = [&](std::size_t row, const Span& span) {
    return data.texts[row].substr(static_cast<std::size_t>(span.begin),
                                  static_cast<std::size_t>(span.end - span.begin));
  };
  std::map<std::string, std::vector<std::string>> values;  // by name, as often as they occur
  for (std::size_t i = 0; i < data.size(); ++i)
    for (const Span& span : data.spans[i]) values[span.name].push_back(text_of(i, span));
  Dataset out = data;
  Random random(seed);
  for (std::int64_t copy = 0; copy < copies; ++copy)
    for (std::size_t i = 0; i < data.size(); ++i) {
      if (data.spans[i].empty()) continue;
      std::string text;
      std::vector<Span> spans;
      std::int64_t at = 0;
      for (const Span& span : data.spans[i]) {
        text += data.texts[i].substr(static_cast<std::size_t>(at),
                                     static_cast<std::size_t>(span.begin - at));
        const auto& choices = values[span.name];
        const auto begin = static_cast<std::int64_t>(text.size());
        text += choices[random.below(choices.size())];
        spans.push_back({begin, static_cast<std::int64_t>(text.size()), span.name});
        at = span.end;
      }
      text += data.texts[i].substr(static_cast<std::size_t>(at));
      out.texts.push_back(std::move(text));
      out.labels.push_back(data.labels[i]);
      out.spans.push_back(std::move(spans));
    }
  return out;
}

}  // namespace tack
