// What a configuration names outside itself.
#include <cstdlib>
#include <filesystem>

#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "gateway/config_texts.h"
#include "gateway/key_file.h"

namespace tack::gateway {
namespace {

namespace fs = std::filesystem;

class Environment : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("tack_config_test_" + std::to_string(::getpid()));
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }
  std::vector<ConfigMistake> check(const std::string& text) const {
    const auto config = parse_config(text, directory_ / "tack.toml");
    EXPECT_TRUE(config) << all(config.error());
    return config ? check_environment(*config) : std::vector<ConfigMistake>();
  }
  fs::path directory_;
};

TEST_F(Environment, MissingFilesAndVariablesAreSaid) {
  ::unsetenv("TACK_TEST_KEY");
  ::setenv("TACK_TEST_EMPTY", "", 1);
  ::setenv("TACK_TEST_BROKEN", "sk-secret\n", 1);
  const auto found = check(R"([models.a]
path = "missing.gguf"
[upstreams.b]
base_url = "http://b/v1"
key_env = "TACK_TEST_KEY"
[upstreams.c]
base_url = "http://b/v1"
key_env = "TACK_TEST_EMPTY"
ca_file = "ca.pem"
[upstreams.d]
base_url = "http://b/v1"
key_env = "TACK_TEST_BROKEN"
[routes.r]
to = "a"
[routes.r.learned]
router = "r.router"
[keys]
file = "keys.toml"
)");
  const std::pair<int, const char*> wanted[] = {
      {2, "missing.gguf"}, {5, "TACK_TEST_KEY is not set"}, {8, "TACK_TEST_EMPTY is empty"},
      {9, "ca.pem"},       {12, "TACK_TEST_BROKEN"},        {16, "r.router"},
      {18, "keys.toml"}};
  ASSERT_EQ(found.size(), std::size(wanted)) << all(found);
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].line, wanted[i].first) << found[i].message;
    EXPECT_TRUE(found[i].message.contains(wanted[i].second)) << found[i].message;
    EXPECT_FALSE(found[i].message.contains("secret")) << found[i].message;
  }
}

TEST_F(Environment, LabelsThatTheModelDoesNotHaveAreSaid) {
  const std::string models = std::string(TACK_SOURCE_DIR) + "/models/";
  const auto found = check("[models.mood]\npath = '" + models +
                           R"(financial-sentiment.gguf'
[models.spans]
path = ')" + models + R"(all-minilm-l6-v2.int8.gguf'
[routes.r]
to = "mood"
[[routes.r.rules]]
to = "mood"
when = { intent = { model = "mood", label = ["positive", "negativ"] } }
[[routes.r.rules]]
to = "mood"
when = { intent = { model = "spans" } }
)");
  ASSERT_EQ(found.size(), 2u) << all(found);
  EXPECT_EQ(found[0].line, 7);
  EXPECT_TRUE(found[0].message.contains("'negativ'; did you mean 'negative'?"));
  EXPECT_EQ(found[1].line, 10);
  EXPECT_TRUE(found[1].message.contains("'spans' gives no labels")) << found[1].message;
}

TEST_F(Environment, AKeyFileThatOthersCanReadIsSaid) {
  const fs::path keys = directory_ / "keys.toml";
  ASSERT_TRUE(write_file(keys, ""));
  const std::string text = "[keys]\nfile = 'keys.toml'\n";
  ASSERT_EQ(::chmod(keys.c_str(), 0640), 0);
  const auto found = check(text);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(found[0].message.contains("chmod 600")) << found[0].message;
  ASSERT_EQ(::chmod(keys.c_str(), 0600), 0);
  EXPECT_TRUE(check(text).empty()) << all(check(text));

  const std::string rule =
      "[routes.r]\nto = 'u/m'\n[upstreams.u]\nbase_url = 'http://u/v1'\n"
      "[[routes.r.rules]]\nto = 'u/m'\nwhen = { key = 'suport' }\n";
  ASSERT_TRUE(write_keys(keys, {{.name = "support", .hash = sha256("x")}}));
  const auto unknown = check(text + rule);
  ASSERT_EQ(unknown.size(), 1u);
  EXPECT_EQ(unknown[0].line, 7);
  EXPECT_TRUE(unknown[0].message.contains("no key 'suport'; did you mean 'support'?"));
}

TEST_F(Environment, ReadingSaysTheFirstMistakeAndHowManyMore) {
  const fs::path file = directory_ / "tack.toml";
  ASSERT_TRUE(write_file(file, "[serve]\nport = -1\nhots = 'x'\n"));
  const auto config = read_config(file);
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, ErrorCode::kUsage);
  EXPECT_TRUE(config.error().message.starts_with(file.string() + ":2: [serve] port"));
  EXPECT_TRUE(config.error().message.contains("and 1 more")) << config.error().message;
  EXPECT_EQ(read_config(directory_ / "none.toml").error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(write_file(file, "[serve]\nport = 1\n"));
  EXPECT_TRUE(read_config(file));
}

}  // namespace
}  // namespace tack::gateway
