#include "tasks/tagger.h"

#include <gtest/gtest.h>

#include "tasks/augment.h"
#include "tasks/heads.h"

namespace tack {
namespace {

// "fly to New York" with the last word cut off by the model's limit.
const std::vector<Word> kWords = {{0, 3, 1}, {4, 6, 2}, {7, 10, 3}, {11, 15, -1}};

TEST(Tagger, SpansBecomeTagsOfWordsAndBack) {
  const TagRules rules = bio_rules({"city", "day"});
  EXPECT_EQ(rules.names(), (std::vector<std::string>{"O", "B-city", "I-city", "B-day", "I-day"}));
  const std::vector<Word> whole = {{0, 3, 1}, {4, 6, 2}, {7, 10, 3}, {11, 15, 4}, {15, 16, 5}};
  const std::vector<Span> spans = {{7, 15, "city"}, {15, 16, "day"}};
  const auto tags = tags_of_words(rules, whole, spans);
  EXPECT_EQ(tags, (std::vector<std::int32_t>{0, 0, 1, 2, 3}));
  EXPECT_EQ(spans_of_words(rules, whole, tags), spans);
  // A span that begins inside a word takes the whole word; a name the rules lack is outside.
  EXPECT_EQ(tags_of_words(rules, whole, std::vector<Span>{{8, 9, "day"}, {11, 15, "other"}}),
            (std::vector<std::int32_t>{0, 0, 3, 0, 0}));
  EXPECT_EQ(tags_of_words(rules, kWords, spans), (std::vector<std::int32_t>{0, 0, 1, 0}));
}

TEST(Tagger, RowsOfWordsAreThoseOfTheirFirstTokens) {
  const std::vector<float> tokens = {0, 0, 1, 10, 2, 20, 3, 30};
  EXPECT_EQ(word_rows(tokens, kWords, 2), (std::vector<float>{1, 10, 2, 20, 3, 30}));
  EXPECT_TRUE(word_rows(tokens, {}, 2).empty());
}

TEST(Augment, SpansAreSwappedForOthersOfTheirName) {
  Dataset data;
  data.texts = {"to Rome on Monday", "hello", "Oslo"};
  data.spans = {{{3, 7, "city"}, {11, 17, "day"}}, {}, {{0, 4, "city"}}};
  data.labels = {0, 1, 0};
  data.label_names = {"fly", "greet"};
  const Dataset more = with_swapped_spans(data, 20, 1);
  ASSERT_EQ(more.size(), 3U + 20 * 2);  // texts without spans are not repeated
  bool swapped = false;
  for (std::size_t i = 3; i < more.size(); ++i) {
    const std::string& text = more.texts[i];
    const Span city = more.spans[i].front();
    const std::string name = text.substr(static_cast<std::size_t>(city.begin),
                                         static_cast<std::size_t>(city.end - city.begin));
    EXPECT_TRUE(name == "Rome" || name == "Oslo") << text;
    EXPECT_TRUE(text == name || text == "to " + name + " on Monday") << text;
    EXPECT_EQ(more.labels[i], 0);
    swapped = swapped || text == "to Oslo on Monday";
  }
  EXPECT_TRUE(swapped);
  EXPECT_EQ(with_swapped_spans(data, 20, 1).texts, more.texts);
}

TEST(Tagger, PositionsInJsonCountCharacters) {
  TagPrediction p;
  p.spans = {{7, 14, "city"}};
  const Json json = tag_json("né à Zürich", p, {});
  EXPECT_EQ(json["spans"][0]["start"], 5);
  EXPECT_EQ(json["spans"][0]["end"], 11);
  EXPECT_EQ(json["spans"][0]["text"], "Zürich");
  EXPECT_FALSE(json.contains("label"));
}

}  // namespace
}  // namespace tack
