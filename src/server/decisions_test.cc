// Typed questions: how requests are read, and what a task model's probabilities answer.
#include "server/decisions.h"

#include <gtest/gtest.h>

namespace tack::server {
namespace {

using Kind = DecisionQuestion::Kind;

constexpr const char* kPredicate = R"({"type":"predicate","instructions":"refund"})";

ApiResult<DecisionRequest> parse(const std::string& input, const std::string& questions) {
  return parse_decision_request(R"({"input":)" + input + R"(,"questions":)" + questions + "}");
}
std::string text_of(const std::string& input) {
  const auto request = parse(input, std::string("[") + kPredicate + "]");
  return request ? request->text : request.error().param + ": " + request.error().message;
}
// The member that a bad question is refused for.
std::string refused(const std::string& question) {
  const auto request = parse("\"x\"", "[" + question + "]");
  return request ? "" : request.error().param;
}

TEST(DecisionRequests, TakeTextsAndConversations) {
  EXPECT_EQ(text_of(R"("a text")"), "a text");
  EXPECT_EQ(text_of(R"([{"role":"user","content":"first"},
      {"type":"message","role":"assistant","content":[{"type":"output_text","text":"so"}]},
      {"role":"user","content":[{"type":"input_text","text":"second"},
                                {"type":"input_json","data":{"n":1}}]},
      {"type":"function_call","name":"f","arguments":"{}","call_id":"1"},
      {"type":"function_call_output","call_id":"1","output":"out"},
      {"role":"developer","content":"be kind"}])"),
            "second\n{\"n\":1}");
}

TEST(DecisionRequests, SayWhatIsWrongAndWhere) {
  EXPECT_EQ(text_of("5"), "input: 'input' must be a string or an array of messages");
  EXPECT_EQ(text_of("[]"), "input: 'input' must be a string or an array of messages");
  EXPECT_EQ(text_of(R"([{"role":"system","content":"x"}])"),
            "input: 'input' has no message of the user to decide about");
  EXPECT_EQ(text_of(R"([{"role":"user","content":[{"type":"input_image","image_url":"data:"}]}])"),
            "input[0].content[0]: 'input[0].content[0]' is an image: only texts can be decided "
            "about here");
  EXPECT_TRUE(text_of(R"([{"type":"function_call_output","call_id":"1",
      "output":[{"type":"input_image","image_url":"data:"}]}])")
                  .starts_with("input[0].output[0]: "));
  EXPECT_TRUE(text_of(R"([{"role":"user"}])").starts_with("input[0].content: "));
  EXPECT_TRUE(text_of(R"([{"role":"tool","content":"x"}])").starts_with("input[0].role: "));
  EXPECT_TRUE(text_of(R"([{"type":"reasoning"}])").starts_with("input[0].type: "));
  EXPECT_EQ(parse_decision_request(R"({"input":"x"})").error().param, "questions");
  EXPECT_EQ(parse("\"x\"", "[]").error().param, "questions");
  std::string many = "[";
  for (int i = 0; i < 400; ++i) many.append(kPredicate).append(",");
  EXPECT_EQ(parse("\"x\"", many + kPredicate + "]").error().param, "questions");
  many.back() = ']';
  EXPECT_TRUE(parse("\"x\"", many));
  EXPECT_EQ(parse_decision_request(R"({"input":"x","question":[]})").error().param, "question");
}

TEST(DecisionRequests, HoldQuestionsToTheirShapes) {
  EXPECT_EQ(refused(kPredicate), "");
  EXPECT_EQ(refused("7"), "questions[0]");
  EXPECT_EQ(refused(R"({"instructions":"x"})"), "questions[0].type");
  EXPECT_EQ(refused(R"({"type":"rank","instructions":"x"})"), "questions[0].type");
  EXPECT_EQ(refused(R"({"type":"predicate"})"), "questions[0].instructions");
  EXPECT_EQ(refused(R"({"type":"predicate","instructions":[
      {"type":"input_image","image_url":"data:"}]})"),
            "questions[0].instructions[0]");
  EXPECT_EQ(refused(R"({"type":"predicate","instructions":"x","name":5})"), "questions[0].name");
  EXPECT_EQ(refused(R"({"type":"predicate","instructions":"x","choices":[]})"),
            "questions[0].choices");
  const auto choices = [](const std::string& list) {
    return refused(R"({"type":"choice","instructions":"x","choices":)" + list + "}");
  };
  EXPECT_EQ(choices(R"([{"value":"a"},{"value":"b","description":"the second"}])"), "");
  EXPECT_EQ(choices(R"([{"value":true},{"value":"true"}])"), "");  // typed: they differ
  EXPECT_EQ(choices(R"([{"value":"a"}])"), "questions[0].choices");
  EXPECT_EQ(choices(R"([{"value":"a"},{"value":1}])"), "questions[0].choices[1].value");
  EXPECT_EQ(choices(R"([{"value":"a"},{"value":"a"}])"), "questions[0].choices[1].value");
  EXPECT_EQ(choices(R"([{"value":"a"},{"label":"b"}])"), "questions[0].choices[1].label");
  EXPECT_EQ(choices(R"([{"value":"a"},"b"])"), "questions[0].choices[1]");
  EXPECT_EQ(refused(R"({"type":"score","instructions":"x",
      "levels":[{"label":"a"},{"label":true}]})"),
            "questions[0].levels[1].label");
}

// What a model of these labels answers, when it has said this of the text.
class Asked {
 public:
  Asked(std::vector<std::string> labels, std::vector<float> probabilities)
      : model_{.id = "m", .labels = std::move(labels)} {
    said_.resize(1);
    said_[0].probabilities = std::move(probabilities);
    said_[0].tokens = 7;
  }
  Asked& head(std::string name, std::vector<std::string> labels, std::vector<float> probabilities) {
    if (model_.heads.empty()) said_.clear();
    model_.heads.push_back({std::move(name), 0, std::move(labels), {}});
    said_.emplace_back().probabilities = std::move(probabilities);
    said_.back().tokens = 7;
    return *this;
  }
  Asked& out_of_scope() {
    said_[0].out_of_scope = true;
    return *this;
  }
  Json all(const std::string& questions) const {
    const auto request = parse("\"x\"", questions);
    EXPECT_TRUE(request) << request.error().message;
    return decision_json(*request, model_, said_);
  }
  Json one(const std::string& question) const { return all("[" + question + "]")["answers"][0]; }

 private:
  ModelInfo model_;
  std::vector<Prediction> said_;
};

TEST(Decisions, OfferedChoicesShareTheProbability) {
  const Asked asked({"a", "b", "c"}, {0.5F, 0.125F, 0.375F});
  const Json answer = asked.one(R"({"type":"choice","name":"which","instructions":"?",
      "choices":[{"value":"b"},{"value":"c"}]})");
  EXPECT_EQ(answer, Json::parse(R"({"type":"choice","name":"which","choice":"c",
      "confidence":0.75,"probabilities":[{"value":"b","probability":0.25},
                                         {"value":"c","probability":0.75}]})"));
  EXPECT_EQ(asked.one(R"({"type":"choice","instructions":"?",
      "choices":[{"value":"a"},{"value":"d"}]})"),
            Json::parse(R"({"type":"refusal","name":null})"));
}

TEST(Decisions, BooleansAndStringsAreDistinct) {
  const Asked asked({"Yes", "No"}, {0.25F, 0.75F});
  const Json answer = asked.one(R"({"type":"choice","instructions":"?",
      "choices":[{"value":true},{"value":false}]})");
  EXPECT_EQ(answer["choice"], false);
  EXPECT_EQ(answer["confidence"], 0.75);
  EXPECT_EQ(answer["probabilities"][0]["value"], true);
  // "Yes" is the label, true means it: the two cannot be told apart, and "yes" is none.
  EXPECT_EQ(asked.one(R"({"type":"choice","instructions":"?",
      "choices":[{"value":true},{"value":"Yes"}]})")["type"],
            "refusal");
  EXPECT_EQ(asked.one(R"({"type":"choice","instructions":"?",
      "choices":[{"value":"yes"},{"value":"No"}]})")["type"],
            "refusal");
}

TEST(Decisions, AScoreIsTheExpectedLevel) {
  const Asked asked({"negative", "neutral", "positive"}, {0.125F, 0.375F, 0.5F});
  const Json answer = asked.one(R"({"type":"score","instructions":"?","levels":[
      {"label":"negative"},{"label":"neutral"},{"label":"positive"}]})");
  EXPECT_EQ(answer["score"], 1.375);
  EXPECT_EQ(answer["confidence"], 0.5);
  EXPECT_EQ(answer["probabilities"][2],
            Json::parse(R"({"label":"positive","value":2,"probability":0.5})"));
  const Json turned = asked.one(R"({"type":"score","instructions":"?","levels":[
      {"label":"positive"},{"label":"negative"}]})");
  EXPECT_DOUBLE_EQ(turned["score"].get<double>(), 0.2);
}

TEST(Decisions, APredicateIsTheProbabilityOfItsLabel) {
  const Asked asked({"refund", "delay"}, {0.75F, 0.25F});
  EXPECT_EQ(asked.one(R"({"type":"predicate","instructions":"refund"})"),
            Json::parse(R"({"type":"predicate","name":null,"probability":0.75})"));
  EXPECT_EQ(asked.one(R"({"type":"predicate","name":"delay","instructions":"It is late."})"),
            Json::parse(R"({"type":"predicate","name":"delay","probability":0.25})"));
  EXPECT_EQ(asked.one(R"({"type":"predicate","name":"late","instructions":"It is late."})"),
            Json::parse(R"({"type":"refusal","name":"late"})"));
  const Asked spam({"no", "yes"}, {0.125F, 0.875F});
  EXPECT_EQ(spam.one(R"({"type":"predicate","instructions":"It is spam."})")["probability"], 0.875);
  EXPECT_EQ(spam.one(R"({"type":"predicate","instructions":"no"})")["probability"], 0.125);
}

TEST(Decisions, AreRefusedOutOfScope) {
  Asked asked({"refund", "delay"}, {0.75F, 0.25F});
  EXPECT_EQ(asked.out_of_scope().one(kPredicate)["type"], "refusal");
}

TEST(Decisions, GoToTheHeadThatIsMeant) {
  const Asked asked = Asked({}, {})
                          .head("topic", {"refund", "delay"}, {0.75F, 0.25F})
                          .head("urgent", {"yes", "no"}, {0.875F, 0.125F})
                          .head("angry", {"yes", "no"}, {0.25F, 0.75F});
  const Json json = asked.all(R"([
      {"type":"predicate","name":"urgent","instructions":"It cannot wait."},
      {"type":"predicate","name":"angry","instructions":"The writer is angry."},
      {"type":"predicate","instructions":"refund"},
      {"type":"predicate","instructions":"Either of two heads could answer this."},
      {"type":"choice","instructions":"?","choices":[{"value":"refund"},{"value":"delay"}]},
      {"type":"choice","name":"urgent","instructions":"?",
       "choices":[{"value":"refund"},{"value":"delay"}]},
      {"type":"choice","name":"angry","instructions":"?",
       "choices":[{"value":true},{"value":false}]}])");
  const Json& answers = json["answers"];
  EXPECT_EQ(answers[0]["probability"], 0.875);
  EXPECT_EQ(answers[1]["probability"], 0.25);
  EXPECT_EQ(answers[2]["probability"], 0.75);
  EXPECT_EQ(answers[3]["type"], "refusal");
  EXPECT_EQ(answers[4]["choice"], "refund");
  EXPECT_EQ(answers[5]["type"], "refusal");  // the named head has no such labels
  EXPECT_EQ(answers[6]["choice"], false);
  EXPECT_EQ(json["usage"],
            Json::parse(R"({"input_tokens":7,"input_tokens_details":{"cached_tokens":0,
                "cache_write_tokens":0},"output_tokens":5,
                "output_tokens_details":{"reasoning_tokens":0},"total_tokens":12})"));
  EXPECT_EQ(json["model"], "m");
}

TEST(Decisions, WithoutAnyProbabilityAreRefused) {
  const Asked asked({"a", "b", "c"}, {1, 0, 0});
  EXPECT_EQ(asked.one(R"({"type":"choice","instructions":"?",
      "choices":[{"value":"b"},{"value":"c"}]})")["type"],
            "refusal");
}

}  // namespace
}  // namespace tack::server
