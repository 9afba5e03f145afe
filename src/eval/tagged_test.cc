#include "eval/tagged.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "eval/span_metrics.h"

namespace tack {
namespace {

DataSource source(std::string path, std::string label = "") {
  DataSource out;
  out.path = std::move(path);
  out.label = std::move(label);
  out.spans = "spans";
  return out;
}

std::string error_of(std::string_view text, const DataSource& from) {
  const auto data = parse_tagged(text, from, {});
  return data ? "" : data.error().message;
}

TEST(Tagged, ConllWordsBecomeOneText) {
  const auto data = parse_tagged(
      "-DOCSTART- O\n\nEmpire\tB-place\nState\tI-place\n=\tO\nESB\tB-place\r\n\n\nok NN _\n",
      source("x.conll"), {});
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data->texts, (std::vector<std::string>{"Empire State = ESB", "ok"}));
  EXPECT_EQ(data->spans[0], (std::vector<Span>{{0, 12, "place"}, {15, 18, "place"}}));
  EXPECT_TRUE(data->spans[1].empty());
  EXPECT_EQ(data->span_names, std::vector<std::string>{"place"});
  EXPECT_TRUE(data->label_names.empty());
  EXPECT_EQ(data->in_scope(), 2U);
}

TEST(Tagged, JsonCountsCharactersOrTakesTokens) {
  const auto data = parse_tagged(
      R"({"text":"né à Zürich","spans":[{"start":5,"end":11,"label":"city"}],"label":"born"})"
      "\n\n"
      R"({"tokens":["to","New","York"],"tags":["O","B-city","L-city"],"label":"go"})",
      source("x.jsonl", "label"), {});
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data->texts[0].substr(7, 7), "Zürich");
  EXPECT_EQ(data->spans[0], (std::vector<Span>{{7, 14, "city"}}));
  EXPECT_EQ(data->spans[1], (std::vector<Span>{{3, 11, "city"}}));
  EXPECT_EQ(data->label_names, (std::vector<std::string>{"born", "go"}));
  EXPECT_EQ(data->labels, (std::vector<std::int32_t>{0, 1}));
}

TEST(Tagged, ErrorsSayWhere) {
  const DataSource conll = source("x.conll"), json = source("x.jsonl");
  EXPECT_NE(error_of("a\n", conll).find("line 1: 'a' has no tag"), std::string::npos);
  EXPECT_NE(error_of("a X-b\n", conll).find("'X-b' is no tag"), std::string::npos);
  EXPECT_NE(error_of("", conll).find("no rows"), std::string::npos);
  EXPECT_NE(error_of("\n{\"text\":\"ab\"}", json).find("line 2: 'spans' is missing"),
            std::string::npos);
  const auto spans = [&](const std::string& list) {
    return error_of(R"({"text":"abcd","spans":)" + list + "}", json);
  };
  EXPECT_EQ(spans(R"([{"start":0,"end":4,"label":"x"}])"), "");
  EXPECT_NE(spans(R"([{"start":0,"end":5,"label":"x"}])").find("4 characters"), std::string::npos);
  EXPECT_NE(spans(R"([{"start":1,"end":1,"label":"x"}])"), "");
  EXPECT_NE(spans("[3]"), "");
  EXPECT_NE(
      spans(R"([{"start":0,"end":2,"label":"x"},{"start":1,"end":3,"label":"y"}])").find("overlap"),
      std::string::npos);
  EXPECT_NE(error_of("{\"tokens\":[\"a\"],\"tags\":[]}", json).find("1 words, but 0 tags"),
            std::string::npos);
  EXPECT_NE(error_of("a B-x\n", source("x.csv")).find("say which with format"), std::string::npos);
}

TEST(Tagged, DirectoriesAndKnownLabels) {
  const auto path =
      std::filesystem::temp_directory_path() / ("tack_tagged_test_" + std::to_string(::getpid()));
  std::filesystem::create_directories(path);
  const auto write = [&](const char* name, const char* text) {
    std::ofstream(path / name) << text;
  };
  write("seq.in", "play  jazz now \nhello\n");
  write("seq.out", "O B-genre O\nO\n");
  write("label", "Play\nGreet\n");
  const auto data = read_dataset(source(path.string(), "label"));
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data->texts[0], "play jazz now");
  EXPECT_EQ(data->spans[0], (std::vector<Span>{{5, 9, "genre"}}));
  EXPECT_EQ(data->label_names, (std::vector<std::string>{"Greet", "Play"}));
  // A model's labels keep the model's order; others are an error.
  const auto again = read_dataset(source(path.string(), "label"), {"Play", "Greet"});
  ASSERT_TRUE(again);
  EXPECT_EQ(again->labels, (std::vector<std::int32_t>{0, 1}));
  EXPECT_FALSE(read_dataset(source(path.string(), "label"), {"Play"}));
  // Parts keep their spans, and the hash covers them.
  EXPECT_EQ(data->subset({0}).spans.size(), 1U);
  const std::string before = data->sha256;
  write("seq.out", "B-genre O O\nO\n");
  EXPECT_NE(read_dataset(source(path.string(), "label"))->sha256, before);
  std::filesystem::remove_all(path);
}

TEST(SpanMetrics, CountsWholeSpans) {
  SpanAnswers answers;
  answers.truth = {{{0, 4, "a"}, {5, 9, "b"}}, {}, {{0, 3, "a"}}};
  answers.predicted = {{{0, 4, "a"}, {5, 8, "b"}}, {}, {{0, 3, "b"}}};
  answers.label_truth = {0, 1, 1};
  answers.label_predicted = {0, 1, 0};
  const SpanMetrics m = compute_span_metrics(answers);
  EXPECT_DOUBLE_EQ(m.precision.value, 1.0 / 3);  // one of three said
  EXPECT_DOUBLE_EQ(m.recall.value, 1.0 / 3);     // one of three there
  EXPECT_DOUBLE_EQ(m.f1.value, 1.0 / 3);
  EXPECT_DOUBLE_EQ(m.accuracy->value, 2.0 / 3);
  EXPECT_DOUBLE_EQ(m.exact.value, 1.0 / 3);  // the second text only
  EXPECT_EQ(m.per_name.at("a").support, 2);
  EXPECT_DOUBLE_EQ(m.per_name.at("a").precision, 1);
  EXPECT_DOUBLE_EQ(m.per_name.at("a").recall, 0.5);
  EXPECT_DOUBLE_EQ(m.per_name.at("b").f1, 0);
}

}  // namespace
}  // namespace tack
