#include "compress/prune_vocabulary.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <unordered_map>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/random.h"
#include "compress/made_up_model.h"
#include "engine/decoder.h"
#include "engine/text_encoder.h"

namespace tack {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<TokenId>;

class PruneVocabulary : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directories(directory_); }
  void TearDown() override { fs::remove_all(directory_); }
  fs::path directory_ =
      fs::temp_directory_path() / ("tack_prune_vocabulary_" + std::to_string(getpid()));
};

struct Case {
  const char* name;
  TokenizerConfig config;
  bool lossless;  // decode(encode(x)) is x
};

std::vector<Case> cases() {
  SentencePieceConfig spaceless = golden_sentencepiece("bpe");
  spaceless.space = SentencePieceConfig::Space::kNone;
  return {{"gpt-2", golden_byte_bpe(PreTokenizer::kGpt2, false), true},
          {"llama-bpe", golden_byte_bpe(PreTokenizer::kLlama3, false), true},
          {"qwen2", golden_byte_bpe(PreTokenizer::kQwen2, false), true},
          {"tekken", golden_byte_bpe(PreTokenizer::kTekken, true), true},
          {"sentencepiece", golden_sentencepiece("bpe"), false},
          {"without a space", spaceless, true},
          {"unigram", golden_sentencepiece("unigram"), false}};
}

// Pieces of lines put together, and bytes of any kind.
std::string random_text(const std::vector<std::string>& lines, Random& random) {
  std::string text;
  for (std::uint64_t n = 1 + random.below(4); n > 0; --n) {
    const std::string& line = lines[random.below(lines.size())];
    const std::size_t begin = random.below(line.size() + 1);
    text += line.substr(begin, random.below(40));
    if (random.below(4) == 0) text += static_cast<char>(random.below(256));
    if (random.below(4) == 0) text += "  ";
  }
  return text;
}

bool all_kept(const Ids& ids, const Ids& kept) {
  return std::ranges::all_of(ids, [&](TokenId id) { return std::ranges::binary_search(kept, id); });
}
Ids old_ids(const Ids& ids, const Ids& kept) {
  Ids out;
  for (const TokenId id : ids) out.push_back(kept[static_cast<std::size_t>(id)]);
  return out;
}
std::int64_t count_kind(const Tokenizer& tokenizer, const Ids& ids, std::string_view text) {
  return std::ranges::count_if(ids, [&](TokenId id) { return tokenizer.token(id) == text; });
}

// Rows of the new tensor are those of the old one that were kept, byte for byte.
void expect_rows(const Model& before, const Model& after, const Ids& kept) {
  for (const char* name : {"token_embd.weight", "output.weight"}) {
    const GgufTensor* old_tensor = before.gguf()->find_tensor(name);
    const GgufTensor* tensor = after.gguf()->find_tensor(name);
    ASSERT_EQ(old_tensor == nullptr, tensor == nullptr);
    if (tensor == nullptr) continue;
    ASSERT_EQ(tensor->view.rows(), static_cast<std::int64_t>(kept.size()));
    for (std::size_t i = 0; i < kept.size(); ++i)
      ASSERT_TRUE(std::ranges::equal(tensor->view.row(static_cast<std::int64_t>(i)),
                                     old_tensor->view.row(kept[i])))
          << name << " " << i;
  }
}

TEST_F(PruneVocabulary, TextsOfKeptTokensHaveTheSame) {
  const std::vector<std::string> lines = golden_lines();
  const fs::path full = directory_ / "full.gguf", pruned = directory_ / "pruned.gguf";
  for (const Case& of : cases()) {
    SCOPED_TRACE(of.name);
    ASSERT_TRUE(write_llama(full, of.config));
    const auto before = Model::open(full);
    ASSERT_TRUE(before) << before.error().message;
    const Tokenizer& old_tokenizer = (*before)->tokenizer();
    Random random(1);
    std::int64_t same = 0;
    for (int round = 0; round < 12; ++round) {
      std::vector<std::string> some;
      for (int i = 0; i < 1 + round * 2; ++i) some.push_back(random_text(lines, random));
      VocabularyChoice choice{.counts = count_tokens(old_tokenizer, some),
                              .min_count = 1 + round % 2};
      // Of another size than comes by itself, in every third round.
      const auto least = choose_vocabulary(**before, choice);
      ASSERT_TRUE(least) << least.error().message;
      if (round % 3 == 1) choice.size = least->always + round * 5;
      if (choice.size >= old_tokenizer.vocab_size()) choice.size = 0;
      const auto result = prune_vocabulary(**before, choice, pruned);
      ASSERT_TRUE(result) << result.error().message;
      const Ids& kept = result->kept.ids;
      EXPECT_EQ(result->kept.always + result->kept.used + result->kept.parts + result->kept.filled,
                static_cast<std::int64_t>(kept.size()));
      EXPECT_LE(choice.size == 0 ? 0 : static_cast<std::int64_t>(kept.size()), choice.size);
      EXPECT_EQ(result->bytes_after, fs::file_size(pruned));
      const auto after = Model::open(pruned);
      ASSERT_TRUE(after) << after.error().message;
      EXPECT_EQ((*after)->vocab_size(), static_cast<std::int64_t>(kept.size()));
      expect_rows(**before, **after, kept);
      const Tokenizer& tokenizer = (*after)->tokenizer();
      for (int i = 0; i < 60; ++i) {
        const std::string text = i < 2 ? some[0] : random_text(lines, random);
        const Ids was = old_tokenizer.encode(text).ids, is = tokenizer.encode(text).ids;
        EXPECT_EQ(tokenizer.decode(is), old_tokenizer.decode(was));
        if (of.lossless && !text.contains("\u2581")) {
          EXPECT_EQ(tokenizer.decode(is), text);
        }
        EXPECT_LE(count_kind(tokenizer, is, "<unk>"), count_kind(old_tokenizer, was, "<unk>"));
        if (!all_kept(was, kept)) continue;
        ++same;
        EXPECT_EQ(old_ids(is, kept), was) << text;
      }
      // Tokens in use stay, so their texts are as they were.
      if (choice.size == 0 && choice.min_count == 1) {
        const auto change = compare_tokenization(old_tokenizer, tokenizer, kept, some);
        EXPECT_EQ(change.words, change.same_words);
        EXPECT_EQ(change.tokens_before, change.tokens_after);
      }
    }
    EXPECT_GT(same, 50);
  }
}

// The logits of the kept tokens after a context of kept tokens, whatever the type of the rows.
TEST_F(PruneVocabulary, LogitsOfKeptTokensAreBitEqual) {
  const std::vector<std::string> lines = golden_lines();
  for (const bool tied : {false, true})
    for (const char* type : {"f32", "bf16", "q8_0", "q4_0"}) {
      SCOPED_TRACE(type);
      const fs::path full = directory_ / "full.gguf", stored = directory_ / "stored.gguf",
                     pruned = directory_ / "pruned.gguf";
      ASSERT_TRUE(write_llama(full, golden_byte_bpe(PreTokenizer::kLlama3, false),
                              {.width = 64, .tied = tied}));
      ASSERT_TRUE(convert_model(full, stored, {.type = type}));
      const auto before = Model::open(stored);
      ASSERT_TRUE(before) << before.error().message;
      const auto result = prune_vocabulary(
          **before, {.counts = count_tokens((*before)->tokenizer(), std::span(lines).first(5))},
          pruned);
      ASSERT_TRUE(result) << result.error().message;
      const Ids& kept = result->kept.ids;
      const auto after = Model::open(pruned);
      ASSERT_TRUE(after) << after.error().message;
      Ids ids = (*after)->tokenizer().encode(lines[0]).ids;
      ids.resize(std::min<std::size_t>(ids.size(), 40));
      const auto logits = [](const std::shared_ptr<const Model>& model, const Ids& tokens) {
        auto decoder = *Decoder::create(model, {.threads = 2, .context = 64});
        const DecoderPart part{0, tokens, DecoderPart::Logits::kAll};
        const auto out = *decoder->run({&part, 1});
        return std::vector<float>(out.begin(), out.end());
      };
      const auto was = logits(*before, old_ids(ids, kept)), is = logits(*after, ids);
      const auto width = static_cast<std::size_t>((*before)->vocab_size());
      ASSERT_EQ(is.size(), ids.size() * kept.size());
      std::size_t different = 0;
      for (std::size_t t = 0; t < ids.size(); ++t)
        for (std::size_t i = 0; i < kept.size(); ++i)
          different +=
              std::memcmp(&is[t * kept.size() + i],
                          &was[t * width + static_cast<std::size_t>(kept[i])], sizeof(float)) != 0
                  ? 1
                  : 0;
      EXPECT_EQ(different, 0U);
    }
}

// Of large files: TACK_PRUNED=before.gguf,after.gguf.
TEST(PrunedFiles, LogitsOfKeptTokensAreBitEqual) {
  const char* files = std::getenv("TACK_PRUNED");
  if (files == nullptr) GTEST_SKIP() << "TACK_PRUNED names no files";
  const std::string both = files;
  const auto open = [](const std::string& path) {
    auto model = Model::open(path);
    EXPECT_TRUE(model) << model.error().message;
    return *model;
  };
  const auto before = open(both.substr(0, both.find(','))),
             after = open(both.substr(both.find(',') + 1));
  std::unordered_map<std::string_view, TokenId> ids;
  for (TokenId id = 0; id < before->vocab_size(); ++id)
    ids.emplace(before->tokenizer().token(id), id);
  Ids kept;
  for (TokenId id = 0; id < after->vocab_size(); ++id)
    kept.push_back(ids.at(after->tokenizer().token(id)));
  Random random(1);
  Ids tokens;
  for (int i = 0; i < 24; ++i) tokens.push_back(static_cast<TokenId>(random.below(kept.size())));
  const auto run = [](const std::shared_ptr<const Model>& model, const Ids& of) {
    auto decoder = *Decoder::create(model, {.context = 64});
    const DecoderPart part{0, of, DecoderPart::Logits::kAll};
    const auto out = *decoder->run({&part, 1});
    return std::vector<float>(out.begin(), out.end());
  };
  const auto is = run(after, tokens), was = run(before, old_ids(tokens, kept));
  const auto width = static_cast<std::size_t>(before->vocab_size());
  for (std::size_t t = 0; t < tokens.size(); ++t)
    for (std::size_t i = 0; i < kept.size(); ++i)
      ASSERT_EQ(is[t * kept.size() + i], was[t * width + static_cast<std::size_t>(kept[i])]);
}

TEST_F(PruneVocabulary, AnEncoderKeepsItsVectors) {
  const auto before = Model::open(std::string(TACK_SOURCE_DIR) + "/models/banking-intent.gguf");
  ASSERT_TRUE(before) << before.error().message;
  const std::vector<std::string> texts = {"Why was I charged twice for my top-up?",
                                          "my card hasn't arrived yet", "Kartenz\u00e4hlung"};
  const Tokenizer& old_tokenizer = (*before)->tokenizer();
  const fs::path pruned = directory_ / "pruned.gguf";
  const auto result = prune_vocabulary(
      **before, {.counts = count_tokens(old_tokenizer, texts), .size = 3000}, pruned);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->kept.ids.size(), 3000U);
  const auto after = Model::open(pruned);
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_EQ((*after)->labels(), (*before)->labels());
  EXPECT_NE((*after)->tack_metadata("calibration"), nullptr);
  const auto run = [&](const std::shared_ptr<const Model>& model) {
    auto encoder = *TextEncoder::create(model, {.threads = 1});
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    const std::vector<std::string_view> outputs = {"embedding", "logits"};
    return (*encoder->run(views, outputs)).outputs;
  };
  EXPECT_EQ(run(*before), run(*after));
  // Random words come apart, and none becomes unknown.
  Random random(7);
  const Tokenizer& tokenizer = (*after)->tokenizer();
  const auto known = static_cast<std::uint64_t>((*before)->vocab_size());
  for (int i = 0; i < 3000; ++i) {
    const std::string text(old_tokenizer.token(static_cast<TokenId>(random.below(known))));
    const std::string more =
        text + "s" + std::string(old_tokenizer.token(static_cast<TokenId>(random.below(known))));
    const Ids was = old_tokenizer.encode(more).ids, is = tokenizer.encode(more).ids;
    EXPECT_EQ(count_kind(tokenizer, is, "[UNK]"), count_kind(old_tokenizer, was, "[UNK]")) << more;
    EXPECT_EQ(tokenizer.decode(is), old_tokenizer.decode(was));
  }
}

TEST_F(PruneVocabulary, Refusals) {
  const fs::path full = directory_ / "full.gguf";
  ASSERT_TRUE(write_llama(full, golden_byte_bpe(PreTokenizer::kGpt2, false)));
  const auto model = *Model::open(full);
  const auto refused = [&](const VocabularyChoice& choice) {
    const auto result = prune_vocabulary(*model, choice, directory_ / "none.gguf");
    EXPECT_FALSE(result);
    return result ? std::string() : result.error().message;
  };
  EXPECT_TRUE(refused({}).contains("--vocabulary"));
  EXPECT_TRUE(refused({.size = 10}).contains("have to stay"));
  EXPECT_TRUE(refused({.size = 705}).contains("705 tokens"));
  EXPECT_TRUE(refused({.counts = {1, 2}}).contains("2 counts"));
  EXPECT_FALSE(fs::exists(directory_ / "none.gguf"));
  // Nothing is written on trial, and the bytes are those that would be.
  const auto trial = prune_vocabulary(*model, {.size = 400}, "");
  const auto real = prune_vocabulary(*model, {.size = 400}, directory_ / "real.gguf");
  ASSERT_TRUE(trial && real);
  EXPECT_EQ(trial->bytes_after, fs::file_size(directory_ / "real.gguf"));
}

}  // namespace
}  // namespace tack
