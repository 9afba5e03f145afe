#include "guard/ask_texts.h"

#include <algorithm>

#include "guard/passage_windows.h"

namespace tack::guard {
namespace {

// Texts one after another, and which passage each is from.
struct Joined {
  std::string text;
  std::vector<std::size_t> begins, passages;

  void add(std::string_view part, std::size_t passage) {
    if (!text.empty()) text += '\n';
    begins.push_back(text.size());
    passages.push_back(passage);
    text += part;
  }
  std::size_t passage_at(std::size_t offset) const {
    const auto next = std::ranges::upper_bound(begins, offset);
    return passages[static_cast<std::size_t>(next - begins.begin()) - 1];
  }
};

void add_windows(const Joined& joined, std::string_view hidden, std::int64_t context,
                 std::vector<Ask>& asks) {
  for (const std::string_view window : cut_windows(joined.text, context)) {
    const auto offset = static_cast<std::size_t>(window.data() - joined.text.data());
    asks.push_back({std::string(window), joined.passage_at(offset), hidden});
  }
}

// The passages' texts, then what is hidden in them, by encoding.
void add_passages(std::span<SeenPassage* const> passages, std::int64_t context,
                  std::vector<Ask>& asks) {
  Joined plain;
  std::vector<std::pair<Encoding, Joined>> hidden;
  for (SeenPassage* passage : passages) {
    plain.add(passage->normal().text, passage->number());
    for (const HiddenText& one : passage->hidden()) {
      auto found = std::ranges::find(hidden, one.encoding, &std::pair<Encoding, Joined>::first);
      if (found == hidden.end()) found = hidden.insert(hidden.end(), {one.encoding, {}});
      found->second.add(one.text, passage->number());
    }
  }
  add_windows(plain, {}, context, asks);
  for (const auto& [encoding, joined] : hidden)
    add_windows(joined, encoding_name(encoding), context, asks);
}

}  // namespace

std::vector<Ask> ask_texts(std::span<SeenPassage* const> passages, std::size_t alone,
                           std::int64_t context) {
  std::vector<Ask> asks;
  alone = std::min(alone, passages.size());
  for (std::size_t i = alone; i < passages.size(); ++i)
    add_passages(passages.subspan(i, 1), context, asks);
  add_passages(passages.first(alone), context, asks);
  return asks;
}

std::vector<Ask> ask_answer(SeenSubject& subject, std::int64_t context) {
  SeenPassage* answer = subject.latest();
  if (answer == nullptr) return {};
  std::vector<Ask> asks = ask_texts(subject.untrusted(), 0, context);
  if (subject.judged() == 0) return asks;
  // Windows of the whole answer, which stay the same while it grows, in place of its end's.
  std::erase_if(asks, [](const Ask& ask) { return ask.hidden.empty(); });
  const NormalText& text = answer->normal();
  for (const std::string_view window : cut_windows(text.text, context)) {
    const auto end = static_cast<std::size_t>(window.data() - text.text.data()) + window.size();
    if (text.original(end) > subject.judged())
      asks.push_back({std::string(window), answer->number(), {}});
  }
  return asks;
}

}  // namespace tack::guard
