#include "eval/questions.h"

#include <set>

#include <gtest/gtest.h>

namespace tack {
namespace {

DataSource source(std::string path) {
  DataSource out;
  out.path = std::move(path);
  return out;
}

std::string error_of(std::string_view text, const std::string& path) {
  const auto data = parse_questions(text, source(path));
  return data ? "" : data.error().message;
}

TEST(Questions, SquadOfBothVersions) {
  const auto data = parse_questions(
      R"({"version": "v2.0", "data": [{"title": "Z", "paragraphs": [
           {"context": "Né à Zürich en 1901.", "qas": [
             {"id": "a", "question": "Où?", "is_impossible": false,
              "answers": [{"text": "Zürich", "answer_start": 5},
                          {"text": "à Zürich", "answer_start": 3},
                          {"text": "Zürich", "answer_start": 5}]},
             {"id": "b", "question": "Who?", "is_impossible": true, "answers": [],
              "plausible_answers": [{"text": "1901", "answer_start": 15}]}]},
           {"context": "Other.", "qas": [{"id": 7, "question": "What?",
              "answers": [{"text": "Other", "answer_start": 0}]}]}]}]})",
      source("x.json"));
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data->contexts, (std::vector<std::string>{"Né à Zürich en 1901.", "Other."}));
  EXPECT_EQ(data->titles, (std::vector<std::string>{"Z", "Z"}));
  ASSERT_EQ(data->size(), 3U);
  EXPECT_EQ(data->answerable(), 2U);
  EXPECT_EQ(data->questions[0].answers, (std::vector<Stretch>{{7, 14}, {4, 14}}));
  EXPECT_EQ(data->answers_of(0), (std::vector<std::string_view>{"Zürich", "à Zürich"}));
  EXPECT_TRUE(data->questions[1].answers.empty());
  EXPECT_EQ(data->questions[2].id, "7");
  EXPECT_EQ(data->context_of(2), "Other.");
}

TEST(Questions, JsonLines) {
  const auto data = parse_questions(
      R"({"context": "ab cd", "question": "q1", "answers": [{"text": "cd", "start": 3}], "id": "1"})"
      "\n\n"
      R"({"context": "ab cd", "question": "q2"})"
      "\r\n"
      R"({"context": "ef", "question": "q3", "answers": {"text": ["ef"], "answer_start": [0]}})",
      source("x.jsonl"));
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data->contexts.size(), 2U);  // the same context is one
  EXPECT_EQ(data->questions[0].answers, (std::vector<Stretch>{{3, 5}}));
  EXPECT_TRUE(data->questions[1].answers.empty());
  EXPECT_EQ(data->answers_of(2), (std::vector<std::string_view>{"ef"}));
}

TEST(Questions, ErrorsSayWhere) {
  EXPECT_NE(error_of("{}", "x.json").find("x.json: 'data' is missing"), std::string::npos);
  EXPECT_NE(error_of(R"({"data": []})", "x.json").find("no questions"), std::string::npos);
  const auto squad = [](const std::string& question) {
    return error_of(
        R"({"data": [{"paragraphs": [{"context": "abc déf", "qas": [)" + question + "]}]}]}",
        "x.json");
  };
  EXPECT_EQ(squad(R"({"question": "q", "answers": [{"text": "déf", "answer_start": 4}]})"), "");
  EXPECT_NE(squad(R"({"answers": []})")
                .find("x.json: data 1, paragraph 1, question 1: 'question' is missing"),
            std::string::npos);
  EXPECT_NE(squad(R"({"question": "q", "answers": [{"text": "def", "answer_start": 4}]})")
                .find("at character 4 the context has 'déf', not the answer 'def'"),
            std::string::npos);
  EXPECT_NE(squad(R"({"question": "q", "answers": [{"text": "a", "answer_start": 7}]})")
                .find("begins at character 7, the context has 7"),
            std::string::npos);
  EXPECT_NE(squad(R"({"question": "q", "answers": [{"text": "a"}]})").find("an answer is"),
            std::string::npos);
  EXPECT_NE(squad(R"({"question": "q", "answers": [{"text": "", "answer_start": 0}]})"), "");
  EXPECT_NE(squad(R"({"question": "q", "answers": [{"text": "a", "answer_start": -1}]})"), "");
  EXPECT_NE(squad(R"({"question": "q", "answers": 3})").find("no list"), std::string::npos);
  EXPECT_NE(
      squad(
          R"({"question": "q", "is_impossible": true, "answers": [{"text": "a", "answer_start": 0}]})")
          .find("is_impossible"),
      std::string::npos);
  EXPECT_NE(error_of("\n{\"question\": \"q\"}", "x.jsonl").find("line 2: 'context' is missing"),
            std::string::npos);
  EXPECT_NE(error_of("{\"context\": \"a\", \"question\": \"\xff\"}", "x.jsonl").find("line 1"),
            std::string::npos);
  EXPECT_NE(error_of("[1]", "x.jsonl"), "");
  EXPECT_NE(error_of("a", "x.csv").find("say which with format"), std::string::npos);
}

QuestionSet many(std::size_t documents, std::size_t contexts, std::size_t questions, bool titles) {
  QuestionSet data;
  for (std::size_t d = 0; d < documents; ++d)
    for (std::size_t c = 0; c < contexts; ++c) {
      data.contexts.push_back(fmt::format("context {} of {}", c, d));
      data.titles.push_back(titles ? fmt::format("document {}", d) : "");
      for (std::size_t q = 0; q < questions; ++q)
        data.questions.push_back({.id = "",
                                  .text = fmt::format("question {}", q),
                                  .context = data.contexts.size() - 1,
                                  .answers = {{0, 7}}});
    }
  return data;
}

TEST(Questions, PartsShareNoDocument) {
  const QuestionSet data = many(20, 5, 3, true);
  const Split split = split_questions(data, 0.2, 1);
  EXPECT_EQ(split.first.size() + split.second.size(), data.size());
  EXPECT_EQ(split.second.size(), 60U);  // four documents of fifteen questions
  const auto titles = [&](const std::vector<std::size_t>& rows) {
    std::set<std::string> out;
    for (std::size_t i : rows) out.insert(data.titles[data.questions[i].context]);
    return out;
  };
  for (const std::string& title : titles(split.second))
    EXPECT_FALSE(titles(split.first).contains(title));
  const QuestionSet first = data.subset(split.first), second = data.subset(split.second);
  EXPECT_EQ(count_context_overlap(first, second), 0U);
  EXPECT_EQ(count_context_overlap(data, second), 60U);
  EXPECT_EQ(second.contexts.size(), 20U);
  EXPECT_NE(first.sha256, second.sha256);
  // Too few documents: by context; too few of those: by question.
  EXPECT_EQ(split_questions(many(2, 10, 3, true), 0.2, 1).second.size(), 12U);
  EXPECT_EQ(split_questions(many(1, 1, 30, false), 0.1, 1).second.size(), 3U);
}

TEST(Questions, PickingIsByContent) {
  const QuestionSet data = many(20, 5, 3, true);
  const QuestionSet picked = pick_questions(data, 50, 1);
  EXPECT_EQ(picked.size(), 50U);
  EXPECT_EQ(pick_questions(data, 50, 1).sha256, picked.sha256);
  EXPECT_NE(pick_questions(data, 50, 2).sha256, picked.sha256);
  EXPECT_EQ(pick_questions(data, 1000, 1).size(), data.size());
  // More of them are the same ones and others, whatever the order of the file.
  std::vector<std::size_t> backwards(data.size());
  for (std::size_t i = 0; i < data.size(); ++i) backwards[i] = data.size() - 1 - i;
  const auto keys = [](const QuestionSet& set) {
    std::set<std::string> out;
    for (std::size_t i = 0; i < set.size(); ++i)
      out.insert(set.context_of(i) + set.questions[i].text);
    return out;
  };
  EXPECT_EQ(keys(pick_questions(data.subset(backwards), 50, 1)), keys(picked));
  const auto more = keys(pick_questions(data, 80, 1));
  for (const std::string& key : keys(picked)) EXPECT_TRUE(more.contains(key));
}

}  // namespace
}  // namespace tack
