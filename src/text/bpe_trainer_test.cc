#include "text/bpe_trainer.h"

#include <fstream>
#include <map>
#include <sstream>

#include <gtest/gtest.h>

#include "base/json.h"
#include "base/random.h"
#include "text/byte_bpe.h"

namespace tack {
namespace {

// The definition: count everything anew before every merge.
LearnedBpe by_definition(const WordCounts& counts, const BpeTrainerOptions& options) {
  LearnedBpe learned = learn_bpe(counts, {.vocab = 256});
  std::map<std::string, TokenId> ids;
  for (std::size_t i = 0; i < learned.tokens.size(); ++i)
    ids[learned.tokens[i]] = static_cast<TokenId>(i);
  std::vector<std::pair<std::vector<TokenId>, std::int64_t>> words;
  for (const auto& [text, count] : counts.sorted()) {
    words.push_back({{}, count});
    for (const char c : text) words.back().first.push_back(ids[std::string(1, c)]);
  }
  while (static_cast<std::int64_t>(learned.tokens.size()) < options.vocab) {
    std::map<std::pair<TokenId, TokenId>, std::int64_t> pairs;
    for (const auto& [word, count] : words)
      for (std::size_t i = 0; i + 1 < word.size(); ++i) pairs[{word[i], word[i + 1]}] += count;
    auto best = pairs.end();
    for (auto it = pairs.begin(); it != pairs.end(); ++it)
      if (best == pairs.end() || it->second > best->second) best = it;
    if (best == pairs.end() || best->second < options.least_count) break;
    const auto [left, right] = best->first;
    const std::string joined = learned.tokens[static_cast<std::size_t>(left)] +
                               learned.tokens[static_cast<std::size_t>(right)];
    const auto [found, is_new] = ids.emplace(joined, static_cast<TokenId>(learned.tokens.size()));
    if (is_new) learned.tokens.push_back(joined);
    learned.merges.push_back(best->first);
    for (auto& [word, count] : words)
      for (std::size_t i = 0; i + 1 < word.size(); ++i)
        if (word[i] == left && word[i + 1] == right) {
          word[i] = found->second;
          word.erase(word.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        }
  }
  return learned;
}

std::string random_text(Random& random, int words, int letters) {
  std::string text;
  for (int i = 0; i < words; ++i) {
    text += i > 0 ? " " : "";
    for (std::uint64_t n = 1 + random.below(9); n > 0; --n)
      text += static_cast<char>('a' + random.below(static_cast<std::uint64_t>(letters)));
  }
  return text;
}

TEST(BpeTrainer, MergesAreThoseOfTheDefinition) {
  Random random(3);
  for (const int letters : {1, 2, 3, 12}) {
    WordCounts counts(PreTokenizer::kGpt2);
    counts.add(random_text(random, 300, letters));
    const BpeTrainerOptions options{.vocab = 400};
    const LearnedBpe expected = by_definition(counts, options),
                     learned = learn_bpe(counts, options);
    EXPECT_EQ(learned.merges, expected.merges) << letters;
    EXPECT_EQ(learned.tokens, expected.tokens) << letters;
  }
}

TEST(BpeTrainer, StopsWhereTheTextHasNoMorePairs) {
  WordCounts counts(PreTokenizer::kGpt2);
  counts.add("ab ab");
  const LearnedBpe learned = learn_bpe(counts, {.vocab = 1000});
  EXPECT_EQ(learned.tokens.size(), 257U);  // " ab" occurs once, "ab" twice within words
  EXPECT_EQ(learned.tokens.back(), "ab");
  EXPECT_TRUE(learn_bpe(WordCounts(PreTokenizer::kGpt2), {.vocab = 1000}).merges.empty());
}

TEST(BpeTrainer, KeepsAnyBytes) {
  WordCounts counts(PreTokenizer::kGpt2);
  const std::string text("\0\xff\xfe\0\xff\xfe x", 8);
  counts.add(text);
  const LearnedBpe learned = learn_bpe(counts, {.vocab = 300});
  ByteBpeConfig config;
  for (const std::string& token : learned.tokens) config.tokens.push_back({token});
  for (const auto& [left, right] : learned.merges) config.merges.push_back({left, right});
  const auto tokenizer = make_byte_bpe(std::move(config));
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const auto ids = (*tokenizer)->encode(text, 0).ids;
  EXPECT_LT(ids.size(), text.size());
  EXPECT_EQ((*tokenizer)->decode(ids), text);
}

// tools/golden/bpe_trainer.py: the shipped tickets.
TEST(BpeTrainer, MergesAreThoseOfTokenizers) {
  std::ifstream golden(std::string(TACK_SOURCE_DIR) + "/tests/golden/bpe_trainer.json");
  ASSERT_TRUE(golden);
  const Json expected = Json::parse(golden);
  std::ifstream file(std::string(TACK_SOURCE_DIR) + "/tasks/data/tickets/train.csv");
  ASSERT_TRUE(file);
  std::stringstream text;
  text << file.rdbuf();
  WordCounts counts(PreTokenizer::kGpt2);
  counts.add(text.str());
  const LearnedBpe learned = learn_bpe(counts, {.vocab = expected["vocab"].get<std::int64_t>()});
  ASSERT_EQ(learned.merges.size(), expected["merges"].size());
  for (std::size_t i = 0; i < learned.merges.size(); ++i) {
    const auto part = [&](TokenId id) {
      return printable_of_bytes(learned.tokens[static_cast<std::size_t>(id)]);
    };
    ASSERT_EQ(part(learned.merges[i].first) + " " + part(learned.merges[i].second),
              expected["merges"][i].get<std::string>())
        << i;
  }
}

}  // namespace
}  // namespace tack
