#include "server/similarity.h"

#include <gtest/gtest.h>

namespace tack::server {
namespace {

const ModelInfo kModel{.id = "m", .embedding_dim = 2};

// Vectors of two numbers, a text each; a text has 3 tokens, the first one was cut.
Embedded embedded(std::vector<float> vectors) {
  Embedded made{std::move(vectors), {}};
  made.info.resize(made.vectors.size() / 2, {.tokens = 3});
  made.info.front().truncated = 4;
  return made;
}

std::string rerank_param(const char* body) {
  const auto parsed = parse_rerank_request(body);
  return parsed ? "" : parsed.error().param;
}
std::string score_param(const char* body) {
  const auto parsed = parse_score_request(body);
  return parsed ? "" : parsed.error().param;
}

TEST(Rerank, OrdersByCosine) {
  const auto request = parse_rerank_request(
      R"({"query":"q","documents":["far",{"text":"near"},"opposite","near too"],
          "return_documents":true})");
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->texts, (std::vector<std::string>{"q", "far", "near", "opposite", "near too"}));
  const Json json = rerank_json(*request, embedded({2, 0, 0, 5, 3, 4, -1, 0, 6, 8}), kModel);
  const Json& results = json["results"];
  ASSERT_EQ(results.size(), 4U);
  // Of 3-4-5 triangles; equal ones keep their order.
  EXPECT_NEAR(results[0]["relevance_score"].get<double>(), 0.6, 1e-12);
  EXPECT_EQ(results[0]["index"], 1);
  EXPECT_EQ(results[0]["document"], Json::parse(R"({"text":"near"})"));
  EXPECT_EQ(results[1]["index"], 3);
  EXPECT_EQ(results[2]["relevance_score"], 0.0);
  EXPECT_EQ(results[3]["relevance_score"], -1.0);
  EXPECT_EQ(json["usage"]["total_tokens"], 15);
  EXPECT_EQ(json["truncated"], 1);
}

TEST(Rerank, ShowsTheBestOnly) {
  const auto request = parse_rerank_request(R"({"query":"q","documents":["a","b"],"top_n":1})");
  ASSERT_TRUE(request);
  const Json json = rerank_json(*request, embedded({1, 0, 0, 1, 1, 1}), kModel);
  ASSERT_EQ(json["results"].size(), 1U);
  EXPECT_EQ(json["results"][0]["index"], 1);
  EXPECT_FALSE(json["results"][0].contains("document"));
}

TEST(Rerank, SaysWhatIsWrong) {
  EXPECT_EQ(rerank_param(R"({"documents":["a"]})"), "query");
  EXPECT_EQ(rerank_param(R"({"query":["q"],"documents":["a"]})"), "query");
  for (const char* documents : {"[]", "\"a\"", "[5]", "[{\"title\":\"a\"}]", "null"})
    EXPECT_EQ(rerank_param(fmt::format(R"({{"query":"q","documents":{}}})", documents).c_str()),
              "documents");
  EXPECT_EQ(rerank_param(R"({"query":"q","documents":["a"],"top_n":0})"), "top_n");
  EXPECT_EQ(rerank_param(R"({"query":"q","documents":["a"],"rank_fields":["x"]})"), "rank_fields");
}

TEST(Score, ComparesPairsOrOneWithAll) {
  const auto one = parse_score_request(R"({"text_1":"a","text_2":["b","c"]})");
  ASSERT_TRUE(one);
  const Json json = score_json(*one, embedded({1, 0, 0, 1, 2, 0}), kModel);
  EXPECT_EQ(json["object"], "list");
  EXPECT_EQ(json["data"], Json::parse(R"([{"index":0,"object":"score","score":0.0},
                                          {"index":1,"object":"score","score":1.0}])"));
  const auto pairs = parse_score_request(R"({"text_1":["a","b"],"text_2":["c","d"]})");
  ASSERT_TRUE(pairs);
  const Json two = score_json(*pairs, embedded({1, 0, 0, 1, 1, 0, 1, 0}), kModel);
  EXPECT_EQ(two["data"][0]["score"], 1.0);
  EXPECT_EQ(two["data"][1]["score"], 0.0);
  // A vector of zeros is near nothing.
  EXPECT_EQ(score_json(*one, embedded({0, 0, 0, 1, 2, 0}), kModel)["data"][0]["score"], 0.0);
}

TEST(Score, SaysWhatIsWrong) {
  EXPECT_EQ(score_param(R"({"text_2":"b"})"), "text_1");
  EXPECT_EQ(score_param(R"({"text_1":"a"})"), "text_2");
  EXPECT_EQ(score_param(R"({"text_1":["a","b"],"text_2":["c"]})"), "text_2");
  EXPECT_EQ(score_param(R"({"text_1":["a","b"],"text_2":"c"})"), "text_2");
  EXPECT_EQ(score_param(R"({"text_1":[1],"text_2":"c"})"), "text_1");
  EXPECT_EQ(score_param(R"({"text_1":"a","text_2":"c","truncate_prompt_tokens":3})"),
            "truncate_prompt_tokens");
}

}  // namespace
}  // namespace tack::server
