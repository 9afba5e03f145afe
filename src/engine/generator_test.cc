#include "engine/generator.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include <gtest/gtest.h>
#include <unistd.h>

#include "models/made_up_tokenizer.h"

namespace tack {
namespace {

namespace fs = std::filesystem;

struct Answer {
  std::string text;
  std::vector<SampledToken> tokens;
  std::optional<GenerationEnd> end;
};

class GeneratorTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("tack_generator_test_" + std::to_string(::getpid()));
    fs::create_directories(directory_);
    const auto written = write_made_up_llama(directory_, 128);
    ASSERT_TRUE(written) << written.error().message;
    auto model = Model::open(directory_);
    ASSERT_TRUE(model) << model.error().message;
    model_ = *model;
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::unique_ptr<Generator> generator(std::int64_t sequences = 1, std::int64_t piece = 64) {
    auto made = Generator::create(
        model_, {.decoder = {.threads = 1, .sequences = sequences}, .prompt_piece = piece});
    EXPECT_TRUE(made) << made.error().message;
    return *std::move(made);
  }
  GenerationRequest request(std::string_view prompt, std::int64_t most = 20,
                            double temperature = 0) const {
    GenerationRequest r;
    r.prompt = model_->tokenizer().encode(prompt).ids;
    r.max_tokens = most;
    r.sampling.temperature = temperature;
    // Not what a made-up model happens to choose.
    r.sampling.logit_bias = {{kMadeUpEos, -100.0F}};
    return r;
  }
  static std::map<GenerationId, Answer> run(Generator& generator) {
    std::map<GenerationId, Answer> answers;
    while (!generator.idle())
      for (const GenerationUpdate& update : generator.step()) {
        Answer& answer = answers[update.id];
        EXPECT_FALSE(answer.end);
        answer.text += update.text;
        answer.tokens.insert(answer.tokens.end(), update.tokens.begin(), update.tokens.end());
        answer.end = update.end;
      }
    return answers;
  }
  static Answer one(Generator& generator, GenerationRequest r) {
    const auto id = generator.add(std::move(r));
    EXPECT_TRUE(id) << id.error().message;
    return run(generator)[*id];
  }

  fs::path directory_;
  std::shared_ptr<const Model> model_;
};

TEST_F(GeneratorTest, ABeginningThatRequestsShareIsReadOnce) {
  const std::string shared(100, 's');
  const std::vector<std::string> prompts = {shared + "one", shared + "two",
                                            shared + "three, longer", "something else"};
  const auto g = generator(4, 16);
  std::vector<GenerationId> ids;
  for (const std::string& prompt : prompts) ids.push_back(*g->add(request(prompt)));
  auto answers = run(*g);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ(answers[ids[i]].text, one(*generator(), request(prompts[i])).text) << i;
    const std::int64_t reused = answers[ids[i]].end->reused_tokens;
    EXPECT_EQ(reused >= 100, i == 1 || i == 2) << i << ": " << reused;
  }
  // A sequence in use is copied too.
  auto first = request(shared + "again", 30);
  g->add(first);
  g->step();
  const auto second = g->add(request(shared + "again!", 5));
  EXPECT_GE(run(*g)[*second].end->reused_tokens, 100);
}

TEST_F(GeneratorTest, ConversationsThatTakeTurnsKeepWhatTheyHave) {
  const auto g = generator(3);
  // All prompts of a template begin alike.
  std::string a = std::string(10, 's') + std::string(60, 'a');
  std::string b = std::string(10, 's') + std::string(60, 'b');
  for (int turn = 0; turn < 3; ++turn)
    for (std::string* text : {&a, &b}) {
      const Answer answer = one(*g, request(*text, 4));
      EXPECT_TRUE(turn == 0 || answer.end->reused_tokens >= 70) << turn;
      *text += " and more";
    }
}

TEST_F(GeneratorTest, PromptsAreReadInTheOrderTheyCame) {
  const auto g =
      *Generator::create(model_, {.decoder = {.threads = 1, .sequences = 2, .batch = 16}});
  const auto first = *g->add(request(std::string(9, 'x'), 1));
  const auto second = *g->add(request("second " + std::string(60, 'y'), 1));
  std::vector<GenerationId> ended;
  for (int later = 0; later < 40 && !g->idle(); ++later) {
    g->add(request(std::string(20, static_cast<char>('a' + later % 20)), 1));
    for (const GenerationUpdate& update : g->step())
      if (update.end) ended.push_back(update.id);
  }
  ASSERT_GE(ended.size(), 2U);
  EXPECT_EQ(ended[0], first);
  EXPECT_EQ(ended[1], second);
}

TEST_F(GeneratorTest, TakesTheBestTokenOfTheDecodersLogits) {
  const auto decoder = *Decoder::create(model_, {.threads = 1});
  std::vector<TokenId> ids = model_->tokenizer().encode("once upon").ids, expected;
  std::span<const TokenId> next = ids;
  while (expected.size() < 20) {
    const DecoderPart part{0, next};
    const auto logits = *decoder->run({&part, 1});
    const auto most = std::max_element(logits.begin(), logits.begin() + 256);
    expected.push_back(static_cast<TokenId>(most - logits.begin()));
    next = std::span(expected).last(1);
  }
  const auto g = generator();
  const Answer answer = one(*g, request("once upon"));
  std::vector<TokenId> chosen;
  for (const SampledToken& token : answer.tokens) chosen.push_back(token.id);
  EXPECT_EQ(chosen, expected);
  EXPECT_EQ(answer.text, model_->tokenizer().decode(expected));
  ASSERT_TRUE(answer.end);
  EXPECT_EQ(answer.end->reason, FinishReason::kLength);
  EXPECT_EQ(answer.end->prompt_tokens, 9);
  EXPECT_EQ(answer.end->output_tokens, 20);
}

TEST_F(GeneratorTest, AnswersDoNotDependOnWhoElseIsThere) {
  const std::vector<std::string> prompts = {"a", "some words", std::string(70, 'x'), "other words",
                                            "and the last"};
  std::vector<std::string> alone;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    auto r = request(prompts[i], 15 + static_cast<std::int64_t>(i), 0.8);
    r.sampling.seed = i;
    alone.push_back(one(*generator(), std::move(r)).text);
  }
  const auto g = generator(3, 8);
  std::vector<GenerationId> ids;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    auto r = request(prompts[i], 15 + static_cast<std::int64_t>(i), 0.8);
    r.sampling.seed = i;
    ids.push_back(*g->add(std::move(r)));
    g->step();  // they come while others answer; nobody has ended yet
  }
  EXPECT_EQ(g->running(), 3U);
  EXPECT_EQ(g->waiting(), 2U);
  auto answers = run(*g);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const std::string& rest = answers[ids[i]].text;
    EXPECT_TRUE(alone[i].ends_with(rest)) << i;
    EXPECT_GT(rest.size(), 8U) << i;
  }
}

TEST_F(GeneratorTest, ABeginningThatIsThereIsNotReadAgain) {
  const std::string shared(40, 's');
  const auto g = generator(2);
  const Answer first = one(*g, request(shared + " one"));
  EXPECT_EQ(first.end->reused_tokens, 0);
  const Answer second = one(*g, request(shared + " two"));
  EXPECT_EQ(second.end->reused_tokens, 41);
  EXPECT_EQ(second.text, one(*generator(), request(shared + " two")).text);
  const Answer again = one(*g, request(shared + " one"));
  EXPECT_EQ(again.text, first.text);
}

TEST_F(GeneratorTest, EndsAtAStopStringWithoutIt) {
  const auto g = generator();
  const std::string all = one(*g, request("stop", 30)).text;
  ASSERT_GT(all.size(), 12U);
  auto r = request("stop", 30);
  r.stops = {"never there", all.substr(5, 3)};
  const Answer answer = one(*g, std::move(r));
  EXPECT_EQ(answer.text, all.substr(0, all.find(all.substr(5, 3))));
  EXPECT_EQ(answer.end->reason, FinishReason::kStop);
  EXPECT_EQ(answer.end->stop, 1);
}

TEST_F(GeneratorTest, AnEndTokenEnds) {
  auto r = request("the end");
  r.sampling.logit_bias = {{kMadeUpEos, 100.0F}};
  r.show_special = true;
  const Answer answer = one(*generator(), std::move(r));
  EXPECT_EQ(answer.text, "");
  EXPECT_EQ(answer.end->reason, FinishReason::kEnd);
  EXPECT_EQ(answer.end->output_tokens, 1);
}

TEST_F(GeneratorTest, OutputsHaveTheFormThatWasAsked) {
  const auto g = generator();
  auto r = request("json", 100, 1.0);
  r.sampling.logit_bias.clear();
  r.form.kind = OutputForm::Kind::kSchema;
  r.form.schema = Json::parse(
      R"({"type": "object", "properties": {"ok": {"type": "boolean"},
          "kind": {"enum": ["red", "green"]}}, "required": ["ok", "kind"]})");
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    r.sampling.seed = seed;
    const Answer answer = one(*g, r);
    EXPECT_EQ(answer.end->reason, FinishReason::kEnd);
    const Json made = Json::parse(answer.text, nullptr, false);
    ASSERT_TRUE(made.is_object()) << answer.text;
    EXPECT_TRUE(made["ok"].is_boolean());
    EXPECT_TRUE(made["kind"] == "red" || made["kind"] == "green");
  }
  r.form = {.kind = OutputForm::Kind::kChoices, .schema = {}, .choices = {"yes", "no"}};
  const std::string text = one(*g, r).text;
  EXPECT_TRUE(text == "yes" || text == "no") << text;
}

TEST_F(GeneratorTest, SaysWhatCannotBe) {
  const auto g = generator();
  const auto message = [&](GenerationRequest r) {
    const auto id = g->add(std::move(r));
    return id ? std::string() : id.error().message;
  };
  EXPECT_NE(message(request(std::string(128, 'x'))).find("128 tokens"), std::string::npos);
  EXPECT_NE(message({}).find("empty"), std::string::npos);
  auto r = request("x");
  r.form.kind = OutputForm::Kind::kSchema;
  r.form.schema = {{"type", "integer"}, {"minimum", 3}, {"maximum", 2}};
  EXPECT_NE(message(r).find("schema at #"), std::string::npos);
  r = request("x");
  r.sampling.top_p = 2;
  EXPECT_NE(message(r).find("top_p"), std::string::npos);
  EXPECT_TRUE(g->idle());
}

TEST_F(GeneratorTest, ACancelledRequestIsNotHeardOfAgain) {
  const auto g = generator();
  const auto first = g->add(request("first", 50)), second = g->add(request("second", 5));
  g->step();
  g->cancel(*first);
  auto answers = run(*g);
  EXPECT_FALSE(answers.contains(*first));
  EXPECT_EQ(answers[*second].text, one(*generator(), request("second", 5)).text);
}

TEST_F(GeneratorTest, TheContextEndsAnOutput) {
  const Answer answer = one(*generator(), request(std::string(120, 'y'), -1));
  EXPECT_EQ(answer.end->reason, FinishReason::kLength);
  EXPECT_EQ(answer.end->output_tokens, 8);
}

}  // namespace
}  // namespace tack
