#include "guard/check.h"
#include "guard/word_automaton.h"

namespace tack::guard {
namespace {

constexpr std::size_t kLongestWord = 256;  // bytes

class WordsCheck : public Check {
 public:
  // `words` as configured; of each spelling the number of its word.
  WordsCheck(std::vector<std::string> words, std::span<const std::string> spellings,
             std::vector<std::size_t> word_of)
      : words_(std::move(words)), word_of_(std::move(word_of)), automaton_(spellings) {}

  void judge(SeenSubject& subject, std::span<const Told>, Finding& finding) const override {
    const bool goes_on = subject.stage() == Stage::kOutput && !subject.complete();
    for (SeenPassage* passage : subject.untrusted()) {
      if (const auto match = automaton_.find(passage->folded().text, goes_on))
        return trip(subject, *passage, *match, "", finding);
      for (const HiddenText& hidden : passage->hidden())
        if (const auto match = automaton_.find(fold({.text = hidden.text}).text))
          return trip(subject, *passage, *match, encoding_name(hidden.encoding), finding);
    }
  }

  // Half a word may still become one that mixes scripts, so all its spellings are looked at.
  std::size_t held_back(SeenPassage& answer) const override {
    std::size_t held = 0;
    for (const Lookalikes mode : {Lookalikes::kNone, Lookalikes::kByWord, Lookalikes::kAll}) {
      const NormalText text = fold(normalize(answer.raw(), mode));
      const std::size_t open = automaton_.open_bytes(text.text);
      if (open > 0)
        held = std::max(held, answer.raw().size() - text.original(text.text.size() - open));
    }
    return held;
  }

 private:
  void trip(const SeenSubject& subject, const SeenPassage& passage,
            const WordAutomaton::Match& match, std::string_view encoding, Finding& finding) const {
    finding.tripped = true;
    finding.category = words_[word_of_[match.word]];
    finding.reason = fmt::format("{} holds a word of this list{}{}", place_of(subject, passage),
                                 encoding.empty() ? "" : ", written in ", encoding);
  }

  std::vector<std::string> words_;
  std::vector<std::size_t> word_of_;
  WordAutomaton automaton_;
};

std::string trimmed(std::string text) {
  const std::size_t begin = text.find_first_not_of(' ');
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
}

}  // namespace

MadeCheck make_words_check(const CheckConfig& config) {
  if (config.words.empty())
    return fail(ErrorCode::kUsage, "words is missing: the words and phrases that must not pass");
  std::vector<std::string> spellings;
  std::vector<std::size_t> word_of;
  for (std::size_t i = 0; i < config.words.size(); ++i) {
    std::string last;
    for (const Lookalikes mode : {Lookalikes::kByWord, Lookalikes::kNone}) {
      std::string spelling = trimmed(fold(normalize(config.words[i], mode)).text);
      if (spelling.empty())
        return fail(ErrorCode::kUsage, "words: '{}' has no characters", config.words[i]);
      if (spelling.size() > kLongestWord)
        return fail(ErrorCode::kUsage, "words: one is longer than {} bytes: '{}...'", kLongestWord,
                    config.words[i].substr(0, 40));
      if (spelling == last) continue;
      spellings.push_back(spelling);
      word_of.push_back(i);
      last = std::move(spelling);
    }
  }
  return std::make_unique<WordsCheck>(config.words, spellings, std::move(word_of));
}

}  // namespace tack::guard
