// Log-probabilities on disk, and what is measured with them.

#include "eval/language_metrics.h"

#include <cmath>
#include <cstring>
#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/random.h"

namespace tack {
namespace {

class LogProbs : public testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::temp_directory_path() / ("tack_probs_" + std::to_string(::getpid()));
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::vector<float> random_logits(std::size_t count, double scale) {
    std::vector<float> logits(count);
    for (float& x : logits) x = static_cast<float>(scale * random_.normal());
    return logits;
  }
  // ln of softmax, in double.
  static std::vector<double> exact(const std::vector<float>& logits) {
    double sum = 0;
    for (const float x : logits) sum += std::exp(static_cast<double>(x));
    std::vector<double> out;
    for (const float x : logits) out.push_back(static_cast<double>(x) - std::log(sum));
    return out;
  }

  std::filesystem::path path_;
  Random random_{7};
};

TEST_F(LogProbs, AreReadAsTheyWereWritten) {
  // Six tokens in a chunk: the first three are only read, tokens 3 and 4 have probabilities.
  const LogProbsShape shape{6, 11, 2};
  std::vector<std::int32_t> tokens;
  for (int i = 0; i < 12; ++i) tokens.push_back((7 * i) % 11);
  std::vector<std::vector<float>> rows;
  {
    auto writer = LogProbsWriter::create(path_, shape, tokens);
    ASSERT_TRUE(writer) << writer.error().message;
    for (int i = 0; i < 4; ++i) {
      rows.push_back(random_logits(11, 3));
      if (i == 3) rows.back() = std::vector<float>(11, 2.5F);  // all the same
      if (i == 2) rows.back()[4] = -100;                       // beyond what is kept
      ASSERT_TRUE(writer->add(rows.back()));
    }
    ASSERT_TRUE(writer->commit());
  }
  // 8 + 12 bytes, 12 ids, 4 rows of 8 bytes and 12 codes (11 are odd).
  EXPECT_EQ(std::filesystem::file_size(path_), 20U + 48 + 4 * (8 + 24));
  const auto file = LogProbsFile::open(path_);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->tokens(), tokens);
  EXPECT_EQ(file->shape().rows(), 2);
  for (std::size_t i = 0; i < 4; ++i) {
    const LogProbsRow row = file->row(static_cast<int>(i) / 2, static_cast<int>(i) % 2);
    const auto wanted = exact(rows[i]);
    for (std::size_t id = 0; id < 11; ++id) {
      if (i == 2 && id == 4) continue;
      EXPECT_NEAR(static_cast<double>(row.at(static_cast<int>(id))), wanted[id], 2e-4);
    }
  }
  EXPECT_EQ(file->row(1, 0).codes[4], 0);
}

// By hand, as the header says: what llama.cpp writes.
TEST_F(LogProbs, HandMadeBytes) {
  std::string bytes = "_logits_";
  const auto put = [&](auto value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  for (const std::int32_t x : {4, 3, 1, 0, 1, 2, 1}) put(x);  // sizes, ids
  put(0.5F), put(-4.0F);
  for (const std::uint16_t code : {0, 2, 7, 9}) put(code);
  const auto parse = [](const std::string& text) {
    return LogProbsFile::parse(std::as_bytes(std::span(text)), "f");
  };
  const auto file = parse(bytes);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->row(0, 0).at(0), -4.0F);
  EXPECT_EQ(file->row(0, 0).at(2), -0.5F);

  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(parse(bytes.substr(0, size))) << size;
  EXPECT_FALSE(parse(bytes + "x"));
  for (const std::size_t at : {0U, 8U, 12U, 16U, 20U})  // magic, sizes, an id
    for (const char bad : {'\xff', '\0'}) {
      if (at == 20 && bad == '\0') continue;
      std::string broken = bytes;
      for (std::size_t i = 0; i < 4; ++i) broken[at + i] = bad;
      EXPECT_FALSE(parse(broken)) << at;
    }
}

TEST_F(LogProbs, DivergenceIsWhatItsDefinitionSays) {
  const LogProbsShape shape{64, 40, 1};
  const std::vector<std::int32_t> tokens(64, 3);
  std::vector<std::vector<float>> base, ours;
  {
    auto writer = LogProbsWriter::create(path_, shape, tokens);
    ASSERT_TRUE(writer);
    for (std::int64_t i = 0; i < shape.rows(); ++i) {
      base.push_back(random_logits(40, 2));
      ours.push_back(base.back());
      for (float& x : ours.back()) x += static_cast<float>(0.3 * random_.normal());
      ASSERT_TRUE(writer->add(base.back()));
    }
    ASSERT_TRUE(writer->commit());
  }
  const auto file = LogProbsFile::open(path_);
  ASSERT_TRUE(file);
  LanguageMeter meter, itself;
  double kl = 0, surprise = 0, base_surprise = 0, same = 0;
  for (std::size_t i = 0; i < base.size(); ++i) {
    const LogProbsRow row = file->row(0, static_cast<std::int64_t>(i));
    meter.add(ours[i], 3, &row);
    itself.add(base[i], 3, &row);
    const auto p = exact(base[i]), q = exact(ours[i]);
    for (std::size_t id = 0; id < p.size(); ++id) kl += std::exp(p[id]) * (p[id] - q[id]);
    surprise -= q[3], base_surprise -= p[3];
    same += std::ranges::max_element(p) - p.begin() == std::ranges::max_element(q) - q.begin();
  }
  const auto count = static_cast<double>(base.size());
  const LanguageMetrics metrics = meter.metrics();
  ASSERT_TRUE(metrics.divergence);
  EXPECT_EQ(metrics.tokens, 31);
  EXPECT_NEAR(metrics.perplexity, std::exp(surprise / count), 1e-4 * metrics.perplexity);
  EXPECT_NEAR(metrics.divergence->base_perplexity, std::exp(base_surprise / count),
              1e-3 * metrics.perplexity);
  EXPECT_NEAR(metrics.divergence->kl.mean, kl / count, 2e-4);
  EXPECT_NEAR(metrics.divergence->same_top.mean, same / count, 1e-9);
  EXPECT_LE(metrics.divergence->kl_median, metrics.divergence->kl_p99);
  EXPECT_LE(metrics.divergence->kl_p99, metrics.divergence->kl_largest);
  // Rounding to codes is all that is left of a model against itself.
  EXPECT_LT(std::abs(itself.metrics().divergence->kl.mean), 1e-4);
  EXPECT_EQ(itself.metrics().divergence->same_top.mean, 1.0);
}

TEST(LanguageMeter, UniformLogitsHaveThePerplexityOfTheVocabulary) {
  LanguageMeter meter;
  for (int i = 0; i < 10; ++i) meter.add(std::vector<float>(77, 1.5F), i);
  EXPECT_NEAR(meter.metrics().perplexity, 77, 1e-4);
  EXPECT_NEAR(meter.metrics().perplexity_error, 0, 1e-4);
  EXPECT_FALSE(meter.metrics().divergence);
}

}  // namespace
}  // namespace tack
