#include "tasks/augment.h"

#include <map>
#include <sstream>

#include "base/random.h"

namespace tack {
namespace {

constexpr double kDrop = 0.1, kReplace = 0.15, kSwap = 0.1;

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(std::move(word));
  return words;
}

std::string vary(const std::vector<std::string>& words, const std::vector<std::string>& all,
                 Random& random) {
  std::vector<std::string> out;
  bool changed = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const double draw = random.uniform();
    changed |= draw < kDrop + kReplace + kSwap;
    if (draw < kDrop) continue;
    if (draw < kDrop + kReplace) {
      out.push_back(all[random.below(all.size())]);
    } else if (draw < kDrop + kReplace + kSwap && i + 1 < words.size()) {
      out.push_back(words[i + 1]);
      out.push_back(words[i++]);
    } else {
      out.push_back(words[i]);
    }
  }
  if (out.empty()) out = words;
  if (!changed) out[random.below(out.size())] = all[random.below(all.size())];
  std::string text;
  for (const std::string& word : out) text += (text.empty() ? "" : " ") + word;
  return text;
}

}  // namespace

std::vector<std::string> text_variants(std::span<const std::string> texts, std::int64_t copies,
                                       std::uint64_t seed) {
  std::vector<std::vector<std::string>> words;
  std::vector<std::string> all;
  for (const std::string& text : texts) {
    words.push_back(words_of(text));
    all.insert(all.end(), words.back().begin(), words.back().end());
  }
  std::vector<std::string> out;
  Random random(seed);
  for (std::int64_t copy = 0; copy < copies; ++copy)
    for (const auto& text : words)
      if (!text.empty()) out.push_back(vary(text, all, random));
  return out;
}

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
