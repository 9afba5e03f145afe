#include "tasks/label.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "tasks/label_journal.h"

namespace tack {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

LabelSet labels(const std::vector<std::string>& names) {
  auto set = LabelSet::create(names);
  EXPECT_TRUE(set) << set.error().message;
  return set ? *set : LabelSet();
}

TEST(LabelSet, MatchesWhatIsTheLabelAndNothingElse) {
  const LabelSet set = labels({"billing", "Über uns", "card lost", "no.", "\"quoted\""});
  const auto match = [&](std::string_view answer) { return set.match(answer).value_or("(none)"); };
  for (const std::string_view answer :
       {"billing", " Billing\n", "\"billing\"", "'billing'", "`billing`", "**billing**", "billing.",
        "- billing", "\"Billing.\"", "{\"label\": \"billing\"}", "{\"label\":\" BILLING \"}",
        "```json\n{\"label\": \"billing\", \"why\": \"money\"}\n```", "```\nbilling\n```",
        "\"bill\\u0069ng\"", "<think>delivery? no, card lost</think>\n\nbilling", "“billing”"})
    EXPECT_EQ(match(answer), "billing") << answer;
  EXPECT_EQ(match("ÜBER UNS"), "Über uns");
  EXPECT_EQ(match("u\u0308ber uns"), "Über uns");  // the same letter in two code points
  EXPECT_EQ(match("No."), "no.");
  EXPECT_EQ(match("\"quoted\""), "\"quoted\"");
  for (const std::string_view answer : {"",
                                        " ",
                                        "\"\"",
                                        ".",
                                        "bill",
                                        "billings",
                                        "billing or delivery",
                                        "The label is billing",
                                        "billing\ncard lost",
                                        "card  lost",
                                        "no",
                                        "quoted",
                                        "{\"label\": [\"billing\"]}",
                                        "{\"label\": null}",
                                        "{\"category\": \"billing\"}",
                                        "{\"label\": \"other\"}",
                                        "{",
                                        "```",
                                        "<think>billing",
                                        "\xff\xfe"})
    EXPECT_EQ(match(answer), "(none)") << answer;
}

TEST(LabelSet, RefusesWhatCannotBeToldApart) {
  const auto error = [](const std::vector<std::string>& names) {
    const auto set = LabelSet::create(names);
    return set ? "" : set.error().message;
  };
  EXPECT_EQ(error({"a"}), "labelling needs at least two labels, there is 1");
  EXPECT_EQ(error({"a", " "}), "one of the labels is empty");
  EXPECT_EQ(error({"a", "b", "a "}), "label 'a' is given twice");
  EXPECT_EQ(error({"Ärger", "ärger"}), "label 'ärger' differs from 'Ärger' in case only");
}

TEST(PromptTemplate, PutsTextAndLabelsIn) {
  const LabelSet set = labels({"a", "b"});
  const auto prompt = PromptTemplate::parse("{{labels}}\n{ text }: {{ text }}|{{text}}", "p.txt");
  ASSERT_TRUE(prompt) << prompt.error().message;
  // What is put in is not read again.
  EXPECT_EQ(prompt->render("{{labels}} {{x", set),
            "- a\n- b\n{ text }: {{labels}} {{x|{{labels}} {{x");
  const std::string standard = PromptTemplate().render("where is it?", set);
  EXPECT_NE(standard.find("<text>\nwhere is it?\n</text>"), std::string::npos);
  EXPECT_NE(standard.find("\n- a\n- b\n"), std::string::npos);

  const auto error = [](std::string_view text) {
    const auto parsed = PromptTemplate::parse(text, "p.txt");
    return parsed ? "" : parsed.error().message;
  };
  EXPECT_EQ(error("hello"), "p.txt: the prompt has no {{text}}: where the text goes");
  EXPECT_EQ(error("{{text}} {{label}}"),
            "p.txt: unknown {{label}}; there are {{text}}, {{labels}}");
  EXPECT_EQ(error("{{text"), "p.txt: '{{' is never closed");
}

TEST(ChatClient, FindsTheEndpoint) {
  const auto url = [](std::string_view upstream) {
    return completions_url(upstream).value_or("(error)");
  };
  EXPECT_EQ(url("http://host:8000"), "http://host:8000/v1/chat/completions");
  EXPECT_EQ(url("https://host/"), "https://host/v1/chat/completions");
  EXPECT_EQ(url("https://host/v1/"), "https://host/v1/chat/completions");
  EXPECT_EQ(url("https://host/openai/v4"), "https://host/openai/v4/chat/completions");
  EXPECT_EQ(url("http://host/v1/chat/completions"), "http://host/v1/chat/completions");
  EXPECT_EQ(url("https://host/d/m?version=1"), "https://host/d/m/chat/completions?version=1");
  EXPECT_EQ(url("host/v1"), "(error)");
}

TEST(ChatClient, ReadsAnswers) {
  const auto answer =
      parse_chat_answer(R"({"choices":[{"message":{"content":"x"},"finish_reason":"length"}],)"
                        R"("usage":{"prompt_tokens":12,"completion_tokens":3}})",
                        999);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->text, "x");
  EXPECT_TRUE(answer->cut_off);
  EXPECT_EQ(answer->tokens.prompt, 12);
  EXPECT_EQ(answer->tokens.completion, 3);
  EXPECT_EQ(answer->tokens.estimated, 0);

  for (const std::string_view usage :
       {"", R"(,"usage":null)", R"(,"usage":{"prompt_tokens":-1,"completion_tokens":3})",
        R"(,"usage":{"prompt_tokens":1e300,"completion_tokens":3})"}) {
    const auto unpriced = parse_chat_answer(
        fmt::format(R"({{"choices":[{{"message":{{"content":null}}}}]{}}})", usage), 300);
    ASSERT_TRUE(unpriced) << usage;
    EXPECT_EQ(unpriced->text, "");
    EXPECT_EQ(unpriced->tokens.prompt, 101);
    EXPECT_EQ(unpriced->tokens.estimated, 1);
  }
  for (const std::string_view body :
       {"", "<html>", "[]", "{}", R"({"choices":{}})", R"({"choices":[]})", R"({"choices":[1]})",
        R"({"choices":[{}]})", R"({"choices":[{"message":"x"}]})",
        R"({"choices":[{"message":{"content":[1]}}]})"})
    EXPECT_FALSE(parse_chat_answer(body, 1)) << body;
}

TEST(ChatClient, WaitsAsLongAsItIsTold) {
  const auto wait = [](std::string_view name, std::string_view value) {
    net::Headers headers;
    headers.add(name, value);
    // 784111777 is RFC 9110's example, Sun, 06 Nov 1994 08:49:37 GMT.
    return retry_after(headers, std::chrono::system_clock::from_time_t(784111777 - 90)).count();
  };
  EXPECT_EQ(wait("Retry-After", "2"), 2000);
  EXPECT_EQ(wait("retry-after", "0.25"), 250);
  EXPECT_EQ(wait("retry-after-ms", "31"), 31);
  EXPECT_EQ(wait("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"), 90'000);
  EXPECT_EQ(wait("Retry-After", "Sun, 06 Nov 1994 08:00:00 GMT"), 0);
  for (const std::string_view odd : {"", "soon", "-3", "nan", "2 s"})
    EXPECT_EQ(wait("Retry-After", odd), 0) << odd;
  EXPECT_EQ(wait("Other", "2"), 0);
}

class LabelJournalTest : public testing::Test {
 protected:
  LabelJournalTest() : path_(fs::path(testing::TempDir()) / fmt::format("journal.{}", ::getpid())) {
    fs::remove(path_);
  }
  ~LabelJournalTest() override { fs::remove(path_); }

  void write(std::string_view text) { std::ofstream(path_, std::ios::binary) << text; }
  std::string error() {
    const auto journal = LabelJournal::open(path_);
    return journal ? "" : journal.error().message;
  }

  fs::path path_;
};

TEST_F(LabelJournalTest, KeepsVerdictsAndAddsUpWhatTheyCost) {
  {
    auto journal = LabelJournal::open(path_);
    ASSERT_TRUE(journal) << journal.error().message;
    EXPECT_NE(error().find("another `tack label` is writing to it"), std::string::npos);
    const JournalEntry failed{.error = "500", .settled = false, .calls = 6, .tokens = {4, 1, 2}};
    const JournalEntry good{.label = "a \"b\"\n", .calls = 1, .tokens = {10, 2, 0}};
    const JournalEntry outside{.error = "no label", .calls = 2, .tokens = {20, 3, 0}};
    ASSERT_TRUE(journal->append("k1", failed));
    ASSERT_TRUE(journal->append("k1", good));
    ASSERT_TRUE(journal->append("k2", outside));
    ASSERT_TRUE(journal->append("k3", failed));
  }
  const auto journal = LabelJournal::open(path_);
  ASSERT_TRUE(journal) << journal.error().message;
  const JournalEntry* one = journal->find("k1");
  ASSERT_NE(one, nullptr);
  EXPECT_EQ(one->label, "a \"b\"\n");
  EXPECT_TRUE(one->settled);
  EXPECT_EQ(one->error, "");
  EXPECT_EQ(one->calls, 7);
  EXPECT_EQ(one->tokens.prompt, 14);
  EXPECT_EQ(one->tokens.completion, 3);
  EXPECT_EQ(one->tokens.estimated, 2);
  EXPECT_TRUE(journal->find("k2")->settled);
  EXPECT_EQ(journal->find("k2")->error, "no label");
  EXPECT_FALSE(journal->find("k3")->settled);
  EXPECT_EQ(journal->find("k4"), nullptr);
}

TEST_F(LabelJournalTest, DropsATornLineAndNothingElse) {
  const std::string whole =
      R"({"key":"k","label":"a","calls":1,"prompt_tokens":1,"completion_tokens":1})"
      "\n";
  for (std::size_t cut = 1; cut < whole.size(); ++cut) {
    write(whole + whole.substr(0, cut));
    ASSERT_EQ(error(), "") << cut;
    EXPECT_EQ(*read_file(path_), whole) << cut;
  }
  for (const std::string_view other :
       {"text,label\n", "{}\n", "{\"key\":\"k\"}\n", "\n", "a text without an end", "[",
        R"({"key":"k","label":"a","calls":-1,"prompt_tokens":1,"completion_tokens":1})"
        "\n"}) {
    write(other);
    EXPECT_NE(error().find("line 1 is not an answer"), std::string::npos) << other;
    EXPECT_EQ(*read_file(path_), other);
  }
}

}  // namespace
}  // namespace tack
