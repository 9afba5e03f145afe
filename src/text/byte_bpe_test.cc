#include "text/byte_bpe.h"

#include <cstdlib>
#include <fstream>
#include <unordered_map>

#include <gtest/gtest.h>

#include "base/json.h"
#include "base/random.h"

namespace tack {
namespace {

using Ids = std::vector<TokenId>;

constexpr std::pair<const char*, PreTokenizer> kPreTokenizers[] = {
    {"gpt-2", PreTokenizer::kGpt2},
    {"llama-bpe", PreTokenizer::kLlama3},
    {"qwen2", PreTokenizer::kQwen2},
    {"tekken", PreTokenizer::kTekken}};

Json golden(const std::string& path) {
  std::ifstream file(path);
  return file ? Json::parse(file) : Json();
}
Json golden() {
  return golden(std::string(TACK_SOURCE_DIR) + "/tests/golden/byte_bpe.json");
}

// The vocabulary of tools/golden/byte_bpe.py.
ByteBpeConfig trained(const Json& file, PreTokenizer pre_tokenizer) {
  ByteBpeConfig config;
  config.pre_tokenizer = pre_tokenizer;
  std::unordered_map<std::string, TokenId> ids;
  for (const Json& token : file["tokens"]) {
    const auto text = token.get<std::string>();
    ids.emplace(text, static_cast<TokenId>(config.tokens.size()));
    config.tokens.push_back({bytes_of_printable(text)});
  }
  for (const Json& merge : file["merges"]) {
    const auto text = merge.get<std::string>();
    const auto space = text.find(' ');
    config.merges.push_back({ids.at(text.substr(0, space)), ids.at(text.substr(space + 1))});
  }
  return config;
}

std::unique_ptr<Tokenizer> made(ByteBpeConfig config) {
  auto tokenizer = make_byte_bpe(std::move(config));
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return *std::move(tokenizer);
}

void compare(const Json& file) {
  for (const auto& [name, kind] : kPreTokenizers) {
    const auto tokenizer = made(trained(file, kind));
    std::size_t different = 0;
    for (std::size_t i = 0; i < file["lines"].size(); ++i) {
      const auto line = file["lines"][i].get<std::string>();
      const Ids ids = tokenizer->encode(line).ids;
      if (ids != file["ids"][name][i].get<Ids>() && ++different <= 5)
        ADD_FAILURE() << name << ": " << file["lines"][i].dump();
      EXPECT_EQ(tokenizer->decode(ids), line);
    }
    EXPECT_EQ(different, 0U) << name << ", of " << file["lines"].size() << " lines";
  }
}

TEST(ByteBpe, IdsAreThoseOfTokenizers) {
  const Json file = golden();
  ASSERT_FALSE(file.is_null());
  compare(file);
}

// More lines than the repository holds: tools/golden/byte_bpe.py LINES.
TEST(ByteBpe, IdsAreThoseOfTokenizersOnRandomLines) {
  const char* path = std::getenv("TACK_BYTE_BPE_LINES");
  if (path == nullptr) GTEST_SKIP() << "TACK_BYTE_BPE_LINES names no file";
  const Json file = golden(path);
  ASSERT_FALSE(file.is_null());
  compare(file);
}

TEST(ByteBpe, AnyBytesComeBack) {
  const Json file = golden();
  Random random(5);
  for (const auto& [name, kind] : kPreTokenizers) {
    const auto tokenizer = made(trained(file, kind));
    for (int round = 0; round < 300; ++round) {
      std::string text(random.below(80), '\0');
      for (char& c : text) c = static_cast<char>(random.below(256));
      EXPECT_EQ(tokenizer->decode(tokenizer->encode(text).ids), text);
    }
  }
}

// Short words and long ones take different ways to the same tokens; neither is quadratic.
TEST(ByteBpe, LongRunsAreTheSameAndQuick) {
  const Json file = golden();
  const auto tokenizer = made(trained(file, PreTokenizer::kLlama3));
  const auto ids_of = [&](std::size_t letters) {
    return tokenizer->encode(std::string(letters, 'e')).ids.size();
  };
  EXPECT_GE(ids_of(33), ids_of(32));
  // Runs that make an expression look ahead or go back; quadratic, each would take minutes.
  for (const auto& [name, kind] : kPreTokenizers) {
    const auto any = made(trained(file, kind));
    for (const std::string_view part :
         {"a", "A", "aA", "\u4e2d", "\u0301", "e\u0301", " ", "\n", " \n", "1", "'", ".", "./"}) {
      std::string run;
      while (run.size() < 500'000) run += part;
      EXPECT_EQ(any->decode(any->encode(run).ids), run) << name << part;
    }
  }
}

TEST(ByteBpe, SpecialTokensOnlyWhenAsked) {
  ByteBpeConfig config = trained(golden(), PreTokenizer::kLlama3);
  const auto first = static_cast<TokenId>(config.tokens.size());
  config.tokens.push_back({"<|end|>", TokenKind::kControl});
  config.tokens.push_back({"<|end|>x", TokenKind::kControl});
  config.tokens.push_back({"<|begin|>", TokenKind::kControl});
  config.special = {.bos = first + 2, .eos = {}, .eot = {}, .add_bos = true};
  const auto tokenizer = made(config);
  const Ids plain = tokenizer->encode("a<|end|>").ids;
  EXPECT_GT(plain.size(), 3U);
  EXPECT_EQ(plain[0], first + 2);
  EXPECT_EQ(tokenizer->decode(plain), "a<|end|>");
  const Ids ids = tokenizer->encode_with_special("<|end|><|end|>x<|end").ids;
  EXPECT_EQ((Ids{ids[0], ids[1], ids[2]}), (Ids{first + 2, first, first + 1}));
  EXPECT_EQ(tokenizer->decode(ids), "<|end");
  const Tokens cut = tokenizer->encode("some words that go on", 3);
  EXPECT_EQ(cut.ids.size(), 3U);
  EXPECT_GT(cut.truncated, 0);
  std::vector<Word> words;
  EXPECT_EQ(tokenizer->encode_words("one two", 0, words).ids, tokenizer->encode("one two").ids);
  ASSERT_EQ(words.size(), 2U);
  EXPECT_EQ(words[1].begin, 3);
  EXPECT_EQ(words[1].end, 7);
}

// A vocabulary by rank is one whose pairs merge in the order of what they make.
TEST(ByteBpe, MergesByRank) {
  ByteBpeConfig config = trained(golden(), PreTokenizer::kGpt2);
  ByteBpeConfig listed = config;
  config.merges.clear();
  config.merge_by_id = true;
  listed.merges = merges_by_id(listed.tokens);
  EXPECT_GE(listed.merges.size(), 400U);
  const auto by_rank = made(config), by_list = made(listed);
  for (const char* text : {"charged twice", " the refund", "unbelievable"})
    EXPECT_EQ(by_rank->encode(text).ids, by_list->encode(text).ids) << text;
  const std::string run(1000, 'e');
  EXPECT_EQ(by_rank->decode(by_rank->encode(run).ids), run);
}

TEST(ByteBpe, UserDefinedTokensStandWhereverTheirTextDoes) {
  ByteBpeConfig config = trained(golden(), PreTokenizer::kGpt2);
  const auto first = static_cast<TokenId>(config.tokens.size());
  config.tokens.push_back({"<think>", TokenKind::kUserDefined});
  config.tokens.push_back({"\t\t", TokenKind::kUserDefined});
  config.tokens.push_back({"<|end|>", TokenKind::kControl});
  const auto tokenizer = made(config);
  const auto a = tokenizer->encode("a").ids, b = tokenizer->encode("b").ids;
  EXPECT_EQ(tokenizer->encode("a<think>\t\tb").ids, (Ids{a[0], first, first + 1, b[0]}));
  const std::string text = "\t\t\t<think>one<|end|> two\t\t";
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text).ids), text);
  std::vector<Word> words;
  EXPECT_EQ(tokenizer->encode_words(text, 0, words).ids, tokenizer->encode(text).ids);
  ASSERT_GT(words.size(), 4U);
  EXPECT_EQ(words[2].begin, 3);
  EXPECT_EQ(words[2].end, 10);
  EXPECT_EQ(words[2].token, 2);
  EXPECT_EQ(words[3].begin, 10);
  EXPECT_EQ(words.back().end, static_cast<std::int64_t>(text.size()));
}

TEST(ByteBpe, ComposesWhenAsked) {
  ByteBpeConfig config = trained(golden(), PreTokenizer::kQwen2);
  config.compose = true;
  const auto tokenizer = made(config);
  EXPECT_EQ(tokenizer->encode("e\u0301").ids, tokenizer->encode("\u00e9").ids);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("\xff e").ids), "\xff e");  // no text
  std::vector<Word> words;
  tokenizer->encode_words("e\u0301 a", 0, words);
  EXPECT_EQ(words.size(), 1U);
}

// A long s is an s where case does not count; utf8proc may not know the letters of Unicode 16.
TEST(ByteBpe, WordsKnowUnicode) {
  EXPECT_EQ(first_word(PreTokenizer::kLlama3, "'\u017fa"), 3U);
  EXPECT_EQ(first_word(PreTokenizer::kGpt2, "'\u017fa"), 1U);
  EXPECT_EQ(first_word(PreTokenizer::kGpt2, "\U000105C0\U000105C1 a"), 8U);
  EXPECT_EQ(first_word(PreTokenizer::kQwen2, "\U00011BF0\U00011BF1"), 4U);
}

TEST(ByteBpe, BrokenVocabulariesAreRefused) {
  const auto refused = [](ByteBpeConfig config) {
    const auto tokenizer = make_byte_bpe(std::move(config));
    EXPECT_FALSE(tokenizer);
    return tokenizer ? std::string() : tokenizer.error().message;
  };
  const ByteBpeConfig whole = trained(golden(), PreTokenizer::kGpt2);
  ByteBpeConfig config = whole;
  config.tokens[0].text = "zz";
  EXPECT_TRUE(refused(config).contains("no token for the byte"));
  config = whole;
  config.tokens.push_back(config.tokens[300]);
  EXPECT_TRUE(refused(config).contains("same text"));
  config = whole;
  config.merges.push_back({299, 298});
  EXPECT_TRUE(refused(config).contains("no token"));
  config = whole;
  config.special.bos = 100000;
  EXPECT_TRUE(refused(config).contains("bos"));
}

TEST(ByteBpe, EveryByteHasACharacter) {
  std::string all;
  for (int b = 0; b < 256; ++b) all += static_cast<char>(b);
  EXPECT_EQ(bytes_of_printable(printable_of_bytes(all)), all);
  EXPECT_EQ(printable_of_bytes(" a\n"), "\u0120a\u010a");
}

}  // namespace
}  // namespace tack
