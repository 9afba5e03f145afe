#include "gateway/router_data.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

namespace tack::gateway {
namespace {

class RouterDataTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::temp_directory_path() /
                 ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string file(const std::string& name, const std::string& text) {
    const auto path = directory_ / name;
    std::ofstream(path) << text;
    return path.string();
  }
  std::filesystem::path directory_;
};

TEST_F(RouterDataTest, ReadsRightAndWrongAndScoresFromSeveralFiles) {
  RouterDataSource source;
  source.paths = {
      file("a.csv", "prompt,small,big one,old\nwhy?,True,1,-3\n\"a, b\",no,0.25,4\n"),
      file("b.jsonl", "{\"prompt\":\"x\",\"small\":false,\"big one\":\"Right\",\"old\":0}\n")};
  source.models = {"small", "large"};
  source.columns = {{"large", "big one"}};
  source.against = "old";
  const auto data = read_router_data(source);
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data->texts, (std::vector<std::string>{"why?", "a, b", "x"}));
  EXPECT_EQ(data->scores, (std::vector<float>{1, 1, 0, 0.25F, 0, 1}));
  EXPECT_EQ(data->against, (std::vector<float>{-3, 4, 0}));
  EXPECT_EQ(data->subset({2}).texts, std::vector<std::string>{"x"});
  EXPECT_NE(data->subset({2}).sha256, data->sha256);
}

TEST_F(RouterDataTest, AnErrorNamesTheFileAndTheLine) {
  RouterDataSource source;
  source.models = {"a", "b"};
  const auto error = [&](const std::string& text) {
    source.paths = {file("x.csv", text)};
    const auto data = read_router_data(source);
    return data ? "" : data.error().message.substr(directory_.string().size() + 1);
  };
  EXPECT_EQ(error("prompt,a,b\nq,1,maybe\n"),
            "x.csv line 2: b: 'maybe' is neither right or wrong nor a score from 0 to 1");
  EXPECT_EQ(error("prompt,a,b\nq,1,0\nr,,0\n"), "x.csv line 3: a: there is no value");
  EXPECT_EQ(error("prompt,a,b\nq,1,1.5\n"),
            "x.csv line 2: b: '1.5' is neither right or wrong nor a score from 0 to 1");
  EXPECT_EQ(error("prompt,a,b\n\"\",1,1\n"), "x.csv line 2: 'prompt' is empty");
  EXPECT_EQ(error("prompt,a,b\n"), "x.csv: there are no rows");
  const std::string missing = error("prompt,a,c\nq,1,1\n");
  EXPECT_NE(missing.find("'b'"), std::string::npos) << missing;
  EXPECT_NE(missing.find("c"), std::string::npos) << missing;
}

// SHA-256 of "abc" is ba7816bf...15ad: by Python, int(hexdigest, 16) % 5, % 7.
TEST(RouterData, FoldsAreThoseOfThePublishedRule) {
  EXPECT_EQ(hash_fold("abc", 5), 0U);
  EXPECT_EQ(hash_fold("abc", 7), 5U);
  EXPECT_EQ(hash_fold("", 5), 4U);
}

TEST(RouterData, CopiesAreInOnePart) {
  RouterData data;
  data.models = {"a", "b"};
  for (int i = 0; i < 400; ++i) {
    data.texts.push_back("prompt " + std::to_string(i % 200));
    data.scores.insert(data.scores.end(), {0, 1});
  }
  const RouterSplit split = split_router_data(data);
  EXPECT_EQ(split.train.size() + split.calibration.size() + split.test.size(), 400U);
  EXPECT_NEAR(static_cast<double>(split.train.size()), 240, 40);
  for (const std::size_t row : split.test)
    EXPECT_NE(std::ranges::find(split.test, (row + 200) % 400), split.test.end());
}

}  // namespace
}  // namespace tack::gateway
