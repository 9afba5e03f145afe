#include "text/sentencepiece.h"

#include <fstream>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "base/random.h"
#include "text/charsmap.h"

namespace tack {
namespace {

using Ids = std::vector<TokenId>;
using Model = SentencePieceConfig::Model;
using Space = SentencePieceConfig::Space;

std::unique_ptr<Tokenizer> made(SentencePieceConfig config) {
  auto tokenizer = make_sentencepiece(std::move(config));
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return *std::move(tokenizer);
}

// Bytes, and the letters and joins of a tiny BPE: "<unk>" is 0, "<s>" 1, "</s>" 2, bytes from 3 on.
SentencePieceConfig tiny() {
  SentencePieceConfig config;
  config.pieces = {
      {"<unk>", TokenKind::kUnknown}, {"<s>", TokenKind::kControl}, {"</s>", TokenKind::kControl}};
  for (unsigned b = 0; b < 256; ++b)
    config.pieces.push_back({fmt::format("<0x{:02X}>", b), TokenKind::kByte});
  float score = 0;
  for (const char* piece : {"\u2581a", "ab", "\u2581ab", "aa", "aaa", "\u2581", "a", "b"})
    config.pieces.push_back({piece, TokenKind::kText, score -= 1});
  return config;
}
TokenId id_of(const Tokenizer& tokenizer, std::string_view piece) {
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id)
    if (tokenizer.token(id) == piece) return id;
  return -1;
}
std::vector<std::string> pieces_of(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::string> pieces;
  for (const TokenId id : tokenizer.encode(text).ids) pieces.emplace_back(tokenizer.token(id));
  return pieces;
}
using Pieces = std::vector<std::string>;

void compare(const char* name, SentencePieceConfig config, bool lossless) {
  std::ifstream stream(std::string(TACK_SOURCE_DIR) + "/tests/golden/sentencepiece.json");
  const Json file = Json::parse(stream);
  for (const Json& piece : file[name]["pieces"])
    config.pieces.push_back({piece[0].get<std::string>(),
                             static_cast<TokenKind>(piece[2].get<int>()), piece[1].get<float>()});
  const auto tokenizer = made(std::move(config));
  for (std::size_t i = 0; i < file["lines"].size(); ++i) {
    const auto line = file["lines"][i].get<std::string>();
    const Ids ids = tokenizer->encode(line).ids;
    EXPECT_EQ(ids, file[name]["ids"][i].get<Ids>()) << name << ": " << file["lines"][i].dump();
    if (lossless && !line.contains("\u2581")) {
      EXPECT_EQ(tokenizer->decode(ids), line);
    }
    std::vector<Word> words;
    EXPECT_EQ(tokenizer->encode_words(line, 0, words).ids, ids);
  }
}

TEST(SentencePiece, BpeIsTheReferences) {
  SentencePieceConfig config;
  config.space = Space::kNone;
  compare("bpe", std::move(config), true);
}

TEST(SentencePiece, UnigramIsTheReferences) {
  SentencePieceConfig config;
  config.model = Model::kUnigram;
  config.squeeze_spaces = true;
  compare("unigram", std::move(config), false);
}

TEST(SentencePiece, TheBestScoreMergesFirst) {
  const auto t = made(tiny());
  EXPECT_EQ(pieces_of(*t, "ab"), Pieces{"\u2581ab"});
  EXPECT_EQ(pieces_of(*t, "aaab"), (Pieces{"\u2581a", "a", "ab"}));  // "ab" beats "aa"
  EXPECT_EQ(pieces_of(*t, "bab"), (Pieces{"\u2581", "b", "ab"}));
  EXPECT_EQ(pieces_of(*t, "aaaa"), (Pieces{"\u2581a", "aaa"}));
  EXPECT_EQ(pieces_of(*t, "\u00e9"), (Pieces{"\u2581", "<0xC3>", "<0xA9>"}));
  EXPECT_EQ(pieces_of(*t, ""), Pieces{});
}

// With merges, the pair counts and not the score of what it makes.
TEST(SentencePiece, MergesHaveAnOrder) {
  SentencePieceConfig config = tiny();
  const TokenId first = 3 + 256;
  const TokenId space = first + 5, a = first + 6, b = first + 7;
  config.merges = {{a, b}, {space, a}, {space, first + 1}};
  const auto t = made(config);
  EXPECT_EQ(pieces_of(*t, "ab"), Pieces{"\u2581ab"});
  EXPECT_EQ(pieces_of(*t, "aa"), (Pieces{"\u2581a", "a"}));
  config.merges.push_back({b, b});
  EXPECT_FALSE(make_sentencepiece(config));
}

TEST(SentencePiece, SpacesInFront) {
  SentencePieceConfig config = tiny();
  config.space = Space::kNone;
  EXPECT_EQ(pieces_of(*made(config), "ab"), Pieces{"ab"});
  const auto special = [&](Space space) {
    config.space = space;
    const auto t = made(config);
    Pieces pieces;
    for (const TokenId id : t->encode_with_special("a<s>b").ids) pieces.emplace_back(t->token(id));
    return pieces;
  };
  EXPECT_EQ(special(Space::kNone), (Pieces{"a", "<s>", "b"}));
  EXPECT_EQ(special(Space::kFirst), (Pieces{"\u2581a", "<s>", "b"}));
  EXPECT_EQ(special(Space::kAlways), (Pieces{"\u2581a", "<s>", "\u2581", "b"}));
  config.space_once = true;
  EXPECT_EQ(pieces_of(*made(config), " a"), Pieces{"\u2581a"});
}

TEST(SentencePiece, SpecialTokensOnlyWhenAsked) {
  SentencePieceConfig config = tiny();
  config.special = {.bos = 1, .eos = 2, .eot = {}, .add_bos = true, .add_eos = true};
  const auto t = made(config);
  const Ids plain = t->encode("</s>").ids;
  EXPECT_GT(plain.size(), 4U);
  EXPECT_EQ(t->decode(plain), "</s>");
  // A beginning that is there already is not put there again.
  const TokenId a = id_of(*t, "\u2581a");
  EXPECT_EQ(t->encode_with_special("<s>a").ids, (Ids{1, a, 2}));
  EXPECT_EQ(t->encode_with_special("a").ids, (Ids{1, a, 2}));
  const Tokens cut = t->encode("a a a a", 4);
  EXPECT_EQ(cut.ids, (Ids{1, a, a, 2}));
  EXPECT_EQ(cut.truncated, 2);
}

TEST(SentencePiece, StrippingTokensTakeTheSpaceAround) {
  SentencePieceConfig config = tiny();
  config.space = Space::kNone;
  config.pieces[1].strips_right = config.pieces[2].strips_left = true;
  const auto t = made(config);
  EXPECT_EQ(t->encode_with_special("a<s> \n a").ids, t->encode_with_special("a<s>a").ids);
  EXPECT_EQ(t->encode_with_special("a \u3000</s>a").ids, t->encode_with_special("a</s>a").ids);
  EXPECT_NE(t->encode_with_special("a <s>a").ids, t->encode_with_special("a<s>a").ids);
}

TEST(SentencePiece, UserDefinedPiecesStandWhereverTheirTextDoes) {
  SentencePieceConfig config = tiny();
  config.pieces.push_back({"<b>", TokenKind::kUserDefined});
  const auto inside = made(config);
  EXPECT_EQ(pieces_of(*inside, "a<b>a"), (Pieces{"\u2581a", "<b>", "a"}));
  EXPECT_EQ(pieces_of(*inside, "<b>a"), (Pieces{"\u2581", "<b>", "a"}));
  config.cut_user_defined = true;  // before the space is put in front of what is left
  const auto cut = made(config);
  EXPECT_EQ(pieces_of(*cut, "a<b>a"), (Pieces{"\u2581a", "<b>", "\u2581a"}));
  EXPECT_EQ(pieces_of(*cut, "<b>a"), (Pieces{"<b>", "\u2581a"}));
}

TEST(SentencePiece, UnknownCharactersInARowAreOne) {
  SentencePieceConfig config = tiny();
  config.byte_fallback = false;
  const auto t = made(config);
  EXPECT_EQ(pieces_of(*t, "xyza"), (Pieces{"\u2581", "<unk>", "a"}));
  config.fuse_unknown = false;
  EXPECT_EQ(pieces_of(*made(config), "xya"), (Pieces{"\u2581", "<unk>", "<unk>", "a"}));
}

TEST(SentencePiece, PiecesThatMayNotBeUsedComeApart) {
  SentencePieceConfig config = tiny();
  config.pieces[3 + 256 + 4].kind = TokenKind::kUnused;  // "aaa"
  const auto t = made(config);
  EXPECT_EQ(pieces_of(*t, "baaa"), (Pieces{"\u2581", "b", "aa", "a"}));
}

TEST(SentencePiece, LongTextsAreQuick) {
  const auto t = made(tiny());
  SentencePieceConfig unigram = tiny();
  unigram.model = Model::kUnigram;
  const auto u = made(unigram);
  for (const std::string& text : {std::string(500'000, 'a'), std::string(500'000, ' ')}) {
    EXPECT_EQ(t->decode(t->encode(text).ids), text);
    EXPECT_EQ(u->decode(u->encode(text).ids), text);
  }
}

TEST(SentencePiece, AnyBytesComeBack) {
  Random random(7);
  SentencePieceConfig unigram = tiny();
  unigram.model = Model::kUnigram;
  for (const auto& t : {made(tiny()), made(unigram)})
    for (int round = 0; round < 500; ++round) {
      std::string text(random.below(80), '\0');
      for (char& c : text) c = static_cast<char>(random.below(256));
      const Ids ids = t->encode(text).ids;
      ASSERT_EQ(t->decode(ids), text);
      StreamDecoder stream(*t);
      std::string streamed;
      for (const TokenId id : ids) streamed += stream.push(id);
      ASSERT_EQ(streamed + stream.finish(), text);
    }
}

TEST(SentencePiece, StreamsHoldWhatIsNoCharacterYet) {
  const auto t = made(tiny());
  StreamDecoder stream(*t);
  const Ids ids = t->encode("a\u20ac").ids;
  ASSERT_EQ(ids.size(), 4U);
  EXPECT_EQ(stream.push(ids[0]), "a");
  EXPECT_EQ(stream.push(ids[1]), "");
  EXPECT_EQ(stream.push(ids[2]), "");
  EXPECT_EQ(stream.push(ids[3]), "\u20ac");
  EXPECT_EQ(stream.push(ids[1]), "");
  EXPECT_EQ(stream.finish(), "\xE2");
  // Ids that go on a text keep their first space.
  StreamDecoder more(*t, true);
  EXPECT_EQ(more.push(ids[0]), " a");
}

TEST(SentencePiece, BrokenVocabulariesAreRefused) {
  const auto refused = [](const SentencePieceConfig& config) {
    const auto tokenizer = make_sentencepiece(config);
    EXPECT_FALSE(tokenizer);
    return tokenizer ? std::string() : tokenizer.error().message;
  };
  SentencePieceConfig config = tiny();
  config.pieces.push_back({"aa"});
  EXPECT_TRUE(refused(config).contains("same text"));
  config = tiny();
  config.pieces.push_back({"<0xZZ>", TokenKind::kByte});
  EXPECT_TRUE(refused(config).contains("no byte"));
  config = tiny();
  config.special.eos = -1;
  EXPECT_TRUE(refused(config).contains("eos"));
  config = tiny();
  config.precompiled_charsmap = "abcd";
  EXPECT_TRUE(refused(config).contains("normalisation"));
  config.pieces.erase(config.pieces.begin(), config.pieces.begin() + 9);
  config.precompiled_charsmap.clear();
  EXPECT_TRUE(refused(config).contains("unknown"));
}

// A map of one entry, "A" to "bc", written by hand.
std::string charsmap() {
  std::vector<std::uint32_t> units(512);
  units[0] = 256U << 10U;                         // children from 256 on
  units[256 ^ 'A'] = 1U << 10U | 1U << 8U | 'A';  // a text ends here, its value is a unit apart
  units[(256 ^ 'A') ^ 1U] = 1U << 31U | 2U;       // begins at byte 2
  std::string bytes;
  const auto size = static_cast<std::uint32_t>(units.size() * 4);
  bytes.append(reinterpret_cast<const char*>(&size), 4);
  bytes.append(reinterpret_cast<const char*>(units.data()), size);
  return bytes + std::string("x\0bc\0", 5);
}

TEST(Charsmap, MapsWhatItNames) {
  const auto map = Charsmap::parse(charsmap());
  ASSERT_TRUE(map) << map.error().message;
  EXPECT_EQ(map->longest("AA").bytes, 1U);
  EXPECT_EQ(map->longest("AA").text, "bc");
  EXPECT_EQ(map->longest("B").bytes, 0U);
  EXPECT_EQ(map->longest("").bytes, 0U);
  const std::string bytes = charsmap();
  for (std::size_t size = 1; size < bytes.size(); size += 97)
    if (const auto cut = Charsmap::parse(std::string_view(bytes).substr(0, size)); cut) {
      cut->longest("A");
    }
  SentencePieceConfig config = tiny();
  config.precompiled_charsmap = charsmap();
  EXPECT_EQ(pieces_of(*made(config), "aA"), (Pieces{"\u2581ab", "<0x63>"}));
}

}  // namespace
}  // namespace tack
