#include "models/byte_bpe_loading.h"

#include <gtest/gtest.h>

namespace tack {
namespace {

TEST(ByteBpeLoading, BrokenListsAreRefused) {
  const auto refused = [](std::vector<std::string> merges, std::vector<std::int64_t> types,
                          std::string_view pre) {
    const std::vector<std::string> tokens = {"a", "b", "ab"};
    const auto config = byte_bpe_from_lists(tokens, merges, types, pre, "x.gguf");
    EXPECT_FALSE(config);
    return config ? std::string() : config.error().message;
  };
  EXPECT_TRUE(refused({}, {}, "other").contains("'other' is not known"));
  EXPECT_TRUE(refused({"a c"}, {}, "gpt-2").contains("merge 0"));
  EXPECT_TRUE(refused({"a b", "ab"}, {}, "gpt-2").contains("merge 1, 'ab', is not two"));
  EXPECT_TRUE(refused({}, {1, 1}, "gpt-2").contains("2 types"));
}

}  // namespace
}  // namespace tack
