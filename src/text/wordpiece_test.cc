#include "text/wordpiece.h"

#include <fstream>

#include <gtest/gtest.h>

#include "base/random.h"

namespace tack {
namespace {

std::unique_ptr<Tokenizer> tiny(WordPieceConfig config = {}) {
  config.vocab = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un",  "##aff", "##able",
                  "hello", ",",     "##l",   "東",    "a",      "##a", "x"};
  auto tokenizer = make_wordpiece(std::move(config));
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return *std::move(tokenizer);
}

using Ids = std::vector<TokenId>;

TEST(WordPiece, SplitsGreedilyAndKnowsSpecialTokens) {
  const auto t = tiny();
  EXPECT_EQ(t->encode("unaffable").ids, (Ids{2, 5, 6, 7, 3}));
  EXPECT_EQ(t->encode("unknown").ids, (Ids{2, 1, 3}));
  EXPECT_EQ(t->encode("Hello,hello").ids, (Ids{2, 8, 9, 8, 3}));
  EXPECT_EQ(t->encode("a[MASK]a").ids, (Ids{2, 12, 4, 12, 3}));
  EXPECT_EQ(t->encode("a東a").ids, (Ids{2, 12, 11, 12, 3}));
  EXPECT_EQ(t->encode("").ids, (Ids{2, 3}));
  EXPECT_EQ(t->token(8), "hello");
  EXPECT_EQ(t->token(99), "");
}

TEST(WordPiece, DecodesToWordsOneSpaceApart) {
  const auto t = tiny();
  EXPECT_EQ(t->decode(t->encode("Unaffable,  hello").ids), "unaffable , hello");
  EXPECT_EQ(t->decode(Ids{2, 99, -1, 3}), "");
  EXPECT_EQ(t->token_bytes(6), "aff");
  EXPECT_EQ(t->special().bos, 2);
}

TEST(WordPiece, NormalisesAsBertDoes) {
  const auto t = tiny();
  EXPECT_EQ(t->encode("H\u00e9ll\u00f4").ids,
            t->encode("hello").ids.size() == 3 ? t->encode("hello").ids : Ids{});
  EXPECT_EQ(t->encode("he\u0301llo").ids, (Ids{2, 8, 3}));
  EXPECT_EQ(t->encode("hel\u200dlo").ids, (Ids{2, 8, 3}));       // format characters vanish
  EXPECT_EQ(t->encode("hel\x01lo").ids, (Ids{2, 8, 3}));         // so do control characters
  EXPECT_EQ(t->encode("hello\u00a0a").ids, (Ids{2, 8, 12, 3}));  // a no-break space separates
  EXPECT_EQ(t->encode("hello\xff").ids, (Ids{2, 8, 3}));         // not UTF-8
}

TEST(WordPiece, TruncationIsReported) {
  const auto t = tiny();
  const Tokens cut = t->encode("a a a a a", 4);
  EXPECT_EQ(cut.ids, (Ids{2, 12, 12, 3}));
  EXPECT_EQ(cut.truncated, 3);
  EXPECT_EQ(t->encode("a a", 4).truncated, 0);
  EXPECT_EQ(t->encode("a a", 1).ids, (Ids{2, 3}));
}

TEST(WordPiece, WordsKnowTheirBytes) {
  const auto t = tiny();
  std::vector<Word> words;
  const std::string text = "hello,  h\u00e9llo\u6771[MASK] unaffable\u0301";
  const Tokens tokens = t->encode_words(text, 0, words);
  EXPECT_EQ(tokens.ids, t->encode(text).ids);
  std::vector<std::string> said;
  for (const Word& word : words)
    said.push_back(text.substr(static_cast<std::size_t>(word.begin),
                               static_cast<std::size_t>(word.end - word.begin)));
  EXPECT_EQ(said, (std::vector<std::string>{"hello", ",", "h\u00e9llo", "\u6771", "[MASK]",
                                            "unaffable\u0301"}));
  std::vector<std::int64_t> first;
  for (const Word& word : words) first.push_back(word.token);
  EXPECT_EQ(first, (std::vector<std::int64_t>{1, 2, 3, 4, 5, 6}));
  // What does not fit has no token.
  t->encode_words(text, 5, words);
  EXPECT_EQ(words.size(), 6U);
  EXPECT_EQ(words[2].token, 3);
  EXPECT_EQ(words[3].token, -1);
}

TEST(WordPiece, PairsCutTheLongerOne) {
  const auto t = tiny();
  const Tokens both = t->encode_pair("a x", "hello");
  EXPECT_EQ(both.ids, (Ids{2, 12, 14, 3, 8, 3}));
  EXPECT_EQ(both.type_ids, (std::vector<std::int32_t>{0, 0, 0, 0, 1, 1}));
  const Tokens cut = t->encode_pair("a", "x x x x x", 7);  // room for four
  EXPECT_EQ(cut.ids, (Ids{2, 12, 3, 14, 14, 14, 3}));
  EXPECT_EQ(cut.truncated, 2);
  EXPECT_EQ(t->encode_pair("a a a a", "x x x x", 7).ids, (Ids{2, 12, 12, 3, 14, 14, 3}));
}

TEST(WordPiece, LongWordsAreUnknown) {
  WordPieceConfig config;
  config.max_chars_per_word = 5;
  const auto t = tiny(config);
  EXPECT_EQ(t->encode("aaaaa").ids, (Ids{2, 12, 13, 13, 13, 13, 3}));
  EXPECT_EQ(t->encode("aaaaaa").ids, (Ids{2, 1, 3}));
}

TEST(WordPiece, RefusesBrokenVocabularies) {
  EXPECT_FALSE(make_wordpiece({}));
  WordPieceConfig twice;
  twice.vocab = {"[UNK]", "[CLS]", "[SEP]", "a", "a"};
  EXPECT_FALSE(make_wordpiece(twice));
  WordPieceConfig none;
  none.vocab = {"a", "b"};
  EXPECT_FALSE(make_wordpiece(none));
}

TEST(WordPiece, GgufVocabularyGoesThereAndBack) {
  const std::vector<std::string> vocab = {"[UNK]", "a", "##b", "##", "[unused1]", "##]", "["};
  EXPECT_EQ(wordpiece_vocab_from_gguf(wordpiece_vocab_to_gguf(vocab)), vocab);
}

TEST(WordPiece, ReadsTokenizerJson) {
  const auto json = parse_json(R"({"model":{"type":"WordPiece","unk_token":"[UNK]",
      "max_input_chars_per_word":7,"vocab":{"[UNK]":0,"[CLS]":1,"[SEP]":2,"a":3}},
      "normalizer":{"type":"BertNormalizer","lowercase":true,"strip_accents":null}})",
                               "tokenizer.json");
  ASSERT_TRUE(json);
  const auto config = wordpiece_from_tokenizer_json(*json, "tokenizer.json");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->vocab.size(), 4U);
  EXPECT_EQ(config->max_chars_per_word, 7);
  EXPECT_TRUE(config->strip_accents);
  for (const char* broken :
       {R"({})", R"({"model":{"type":"BPE"}})", R"({"model":{"type":"WordPiece","vocab":{"a":5}}})",
        R"({"model":{"type":"WordPiece","vocab":{"a":0,"b":0}}})",
        R"({"model":{"type":"WordPiece","vocab":{}}})"})
    EXPECT_FALSE(wordpiece_from_tokenizer_json(*parse_json(broken, "t"), "t")) << broken;
}

TEST(WordPiece, AnyBytesGiveTokensInsideTheVocabulary) {
  const auto t = tiny();
  Random random(3);
  for (int round = 0; round < 3000; ++round) {
    std::string text(random.below(40), ' ');
    for (char& c : text) c = static_cast<char>(random.below(256));
    for (TokenId id : t->encode(text).ids) ASSERT_TRUE(id >= 0 && id < t->vocab_size());
  }
}

}  // namespace
}  // namespace tack
