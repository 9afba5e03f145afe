// [guard]: what is read, what is wrong with it, and the files it names.
#include <filesystem>

#include "base/atomic_file.h"
#include "gateway/config_texts.h"

namespace tack::gateway {
namespace {

namespace fs = std::filesystem;
using guard::CheckKind;
using namespace std::chrono_literals;

TEST(GuardConfig, WithoutTheSectionThereIsNone) {
  EXPECT_FALSE(parsed("").guard.enabled);
  const GatewayConfig config = parsed("[guard]\n");
  EXPECT_TRUE(config.guard.enabled);
  EXPECT_EQ(config.warnings.size(), 1U) << "no checks";
}

TEST(GuardConfig, ReadsEverySetting) {
  const GatewayConfig config = parsed(std::string(kGood) + R"([guard]
mode = "observe"
on_error = "pass"
timeout = "500ms"
model = "tickets"
refusal = "No."
max_windows = 9
[[guard.pre_flight]]
check = "pii"
only = "EMAIL_ADDRESS"
allow = ["a@example.org"]
mask = true
[[guard.input]]
check = "unsafe"
threshold = 0.25
thresholds = { violence = 0.5, self_harm = 0.1 }
only = ["violence", "self_harm"]
head = "harm"
[[guard.input]]
check = "words"
name = "competitors"
words = ["acme", "globex"]
mode = "observe"
[[guard.output]]
check = "regex"
patterns = 'ID-\d+'
[[guard.output]]
check = "length"
max_tokens = 100
[[guard.output]]
check = "schema"
schema = '{"type":"object"}'
)");
  const guard::GuardConfig& guard = config.guard;
  EXPECT_TRUE(guard.enabled && guard.observe && guard.pass_on_error);
  EXPECT_EQ(guard.timeout, 500ms);
  EXPECT_EQ(guard.model, "tickets");
  EXPECT_EQ(guard.refusal, "No.");
  EXPECT_EQ(guard.max_windows, 9);
  ASSERT_EQ(guard.pre_flight.size(), 1U);
  EXPECT_TRUE(guard.pre_flight[0].mask);
  EXPECT_EQ(guard.pre_flight[0].only, std::vector<std::string>{"EMAIL_ADDRESS"});
  ASSERT_EQ(guard.input.size(), 2U);
  EXPECT_EQ(guard.input[0].threshold, 0.25);
  EXPECT_EQ(guard.input[0].thresholds.at("self_harm"), 0.1);
  EXPECT_EQ(guard.input[0].name, "unsafe");
  EXPECT_EQ(guard.input[0].line, kGoodLines + 13);
  EXPECT_EQ(guard.input[1].name, "competitors");
  EXPECT_TRUE(guard.input[1].observe);
  ASSERT_EQ(guard.output.size(), 3U);
  EXPECT_EQ(guard.output[1].max_tokens, 100);
  EXPECT_EQ(config.model("guard"), nullptr) << "the checks name another";
}

TEST(GuardConfig, TheShippedModelNeedsNoSection) {
  const GatewayConfig config = parsed("[guard]\n[[guard.input]]\ncheck = 'injection'\n");
  ASSERT_NE(config.model("guard"), nullptr);
  EXPECT_EQ(config.model("guard")->path, "guard");
  EXPECT_EQ(parsed("[guard]\n[[guard.input]]\ncheck='pii'\n").model("guard"), nullptr);
}

TEST(GuardConfig, ShowsItsSettings) {
  const GatewayConfig config =
      parsed("[guard]\n[[guard.input]]\ncheck = 'unsafe'\nthresholds = { violence = 0.5 }\n");
  const auto value = [&](std::string_view key) {
    for (const ConfigSetting& one : config.settings)
      if (one.key == key) return to_text(one.value);
    return std::string("none");
  };
  EXPECT_EQ(value("guard.mode"), "\"enforce\"");
  EXPECT_EQ(value("guard.max_windows"), "64");
  EXPECT_EQ(value("guard.input.1.check"), "\"unsafe\"");
  EXPECT_EQ(value("guard.input.1.thresholds.violence"), "0.5");
}

class Files : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / fmt::format("tack_guard_config_{}", ::getpid());
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }
  void write(const char* name, std::string_view text) {
    ASSERT_TRUE(write_file(directory_ / name, text));
  }
  std::expected<GatewayConfig, std::vector<ConfigMistake>> parse(std::string_view text) {
    return parse_config(text, directory_ / "tack.toml");
  }
  fs::path directory_;
};

TEST_F(Files, AreReadFromBesideTheConfiguration) {
  write("words.txt", "# rivals\nacme\r\nglobex corp \n\n");
  write("s.json", R"({"type":"array"})");
  write("g.json",
        R"({"version":1,"input":{"version":1,"guardrails":[
            {"name":"Keyword Filter","config":{"keywords":["x1"]}},
            {"name":"Contains PII","config":{"entities":["EMAIL_ADDRESS","CRYPTO"],"block":true}}]}})");
  const auto config = parse(
      "[guard]\nconfig = 'g.json'\n[[guard.input]]\ncheck='words'\nfile='words.txt'\n"
      "[[guard.output]]\ncheck='schema'\nschema='s.json'\n");
  ASSERT_TRUE(config) << all(config.error());
  ASSERT_EQ(config->guard.input.size(), 3U);
  EXPECT_EQ(config->guard.input[0].words, (std::vector<std::string>{"acme", "globex corp"}));
  EXPECT_EQ(config->guard.input[1].name, "Keyword Filter");
  EXPECT_EQ(config->guard.input[1].line, 2);
  EXPECT_EQ(config->guard.output[0].schema, R"({"type":"array"})");
  ASSERT_EQ(config->warnings.size(), 1U);
  EXPECT_EQ(config->warnings[0].line, 2);
}

TEST_F(Files, ThatAreWrongAreSaidWithTheirPlace) {
  write("g.json", R"({"version":1,"input":{"version":1,"guardrails":[
      {"name":"Off Topic Prompts","config":{}}]}})");
  const auto config =
      parse("[guard]\nconfig = 'g.json'\n[[guard.input]]\ncheck='words'\nfile='none.txt'\n");
  ASSERT_FALSE(config);
  const std::string said = all(config.error());
  EXPECT_TRUE(said.contains("2: [guard] config g.json: input: guardrails 1 (Off Topic Prompts)"))
      << said;
  EXPECT_TRUE(said.contains("none.txt")) << said;
}

TEST_F(Files, AModelThatIsMissingIsSaidAtEachCheckThatAsksIt) {
  const auto config =
      parse("[models.guard]\npath='none.gguf'\n[guard]\n[[guard.input]]\ncheck='unsafe'\n");
  ASSERT_TRUE(config) << all(config.error());
  const std::string said = all(check_environment(*config));
  EXPECT_TRUE(said.contains("2: [models.guard] path")) << said;
  EXPECT_TRUE(said.contains("4: [[guard.input]] unsafe: ")) << said;
  write("none.gguf", "this is no model");
  const std::string broken = all(check_environment(*config));
  EXPECT_TRUE(broken.contains("4: [[guard.input]] unsafe: ")) << broken;
}

}  // namespace
}  // namespace tack::gateway
