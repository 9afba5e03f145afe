// Vocabularies and texts of $TACK_DATA/tokenizers; skipped without it.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "base/json.h"
#include "models/byte_bpe_loading.h"
#include "models/tokenizer_loading.h"

namespace tack {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// llama.cpp's vectors: texts between markers, and a line of ids for each, without what frames them.
void compare(const Tokenizer& tokenizer, const fs::path& stem) {
  constexpr std::string_view kMarker = "\n__ggml_vocab_test__\n";
  const std::string inputs = text_of(stem.string() + ".inp");
  std::istringstream lines(text_of(stem.string() + ".out"));
  std::size_t count = 0;
  std::string line;
  for (std::size_t at = 0; std::getline(lines, line); ++count) {
    const std::size_t end = inputs.find(kMarker, at);
    ASSERT_NE(end, inputs.npos) << count;
    const std::string text = inputs.substr(at, end - at);
    std::istringstream numbers(line);
    std::vector<TokenId> expected;
    for (TokenId id; numbers >> id;) expected.push_back(id);
    std::vector<TokenId> ids = tokenizer.encode(text).ids;
    if (tokenizer.special().add_bos) ids.erase(ids.begin());
    EXPECT_EQ(ids, expected) << Json(text).dump();
    EXPECT_EQ(tokenizer.decode(expected), text);
    at = end + kMarker.size();
  }
  EXPECT_GT(count, 40U);
}

class TokenizerData : public testing::Test {
 protected:
  void SetUp() override {
    const char* data = std::getenv("TACK_DATA");
    if (data == nullptr || !fs::is_directory(fs::path(data) / "tokenizers"))
      GTEST_SKIP() << "TACK_DATA names no data";
    directory_ = fs::path(data) / "tokenizers";
  }
  fs::path directory_;
};

TEST_F(TokenizerData, FilesOfLlamaCpp) {
  for (const char* name : {"gpt-2", "llama-spm", "phi-3"}) {
    SCOPED_TRACE(name);
    const fs::path path =
        directory_ / "llama_cpp_vocabs" / (std::string("ggml-vocab-") + name + ".gguf");
    const auto tokenizer = open_tokenizer(path);
    ASSERT_TRUE(tokenizer) << tokenizer.error().message;
    compare(**tokenizer, path);
  }
}

TEST_F(TokenizerData, Llama3) {
  // Not ordered: an ordered object of 128,000 names takes quadratic time.
  const auto ids = nlohmann::json::parse(text_of(directory_ / "llama3_2_ollama/encoder.json"));
  std::vector<std::string> tokens(ids.size()), merges;
  for (const auto& [token, id] : ids.items()) tokens.at(id.get<std::size_t>()) = token;
  std::istringstream lines(text_of(directory_ / "llama3_2_ollama/vocab.bpe"));
  for (std::string line; std::getline(lines, line);)
    if (!line.empty() && !line.starts_with("#version")) merges.push_back(line);
  auto config = byte_bpe_from_lists(tokens, merges, {}, "llama-bpe", "Llama 3.2");
  ASSERT_TRUE(config) << config.error().message;
  const auto tokenizer = make_byte_bpe(*std::move(config));
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  compare(**tokenizer, directory_ / "llama_cpp_vocabs/ggml-vocab-llama-bpe.gguf");
}

}  // namespace
}  // namespace tack
