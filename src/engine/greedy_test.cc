// Greedy continuations by trained decoders, token for token as transformers gives them. Only with
// TACK_GREEDY: a directory with NAME/ (as Hugging Face) and NAME.gguf for each of greedy.json, made
// by tests/greedy_test.sh.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "base/json.h"
#include "engine/decoder.h"

namespace tack {
namespace {

std::vector<TokenId> continued(Decoder& decoder, std::span<const TokenId> prompt,
                               std::size_t count) {
  std::vector<TokenId> out;
  decoder.rewind(0, 0);
  std::vector<TokenId> next(prompt.begin(), prompt.end());
  while (out.size() < count) {
    const DecoderPart part{0, next};
    const auto logits = decoder.run({&part, 1});
    EXPECT_TRUE(logits) << logits.error().message;
    if (!logits) break;
    out.push_back(static_cast<TokenId>(std::ranges::max_element(*logits) - logits->begin()));
    next.assign(1, out.back());
  }
  return out;
}

TEST(GreedyData, TokensAreThoseOfTransformers) {
  const char* const made = std::getenv("TACK_GREEDY");
  if (made == nullptr) GTEST_SKIP() << "TACK_GREEDY is not set";
  std::ifstream file(std::string(TACK_SOURCE_DIR) + "/tests/golden/greedy.json");
  ASSERT_TRUE(file);
  const Json golden = Json::parse(file);
  ASSERT_EQ(golden.size(), 4U);
  for (const auto& [name, expected] : golden.items())
    for (const std::string& path : {name, name + ".gguf"}) {
      SCOPED_TRACE(path);
      const auto model = Model::open(std::filesystem::path(made) / path, Model::Use::kWeights);
      ASSERT_TRUE(model) << model.error().message;
      const auto decoder =
          Decoder::create(*model, {.context = 256, .kv = kernels::KvType::kF32, .exact = true});
      ASSERT_TRUE(decoder) << decoder.error().message;
      for (const Json& run : expected["runs"]) {
        const auto prompt = run["prompt"].get<std::vector<TokenId>>();
        const auto next = run["next"].get<std::vector<TokenId>>();
        ASSERT_GE(next.size(), 200U);
        EXPECT_EQ(continued(**decoder, prompt, next.size()), next) << run["text"];
      }
    }
}

}  // namespace
}  // namespace tack
