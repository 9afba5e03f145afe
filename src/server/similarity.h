// How near texts are to each other: POST /v1/rerank and /rerank (the shape of Cohere, Jina and
// vLLM), POST /v1/score and /score (vLLM's). Scores are cosines of the encoder's embeddings, from
// -1 to 1: an order, not a probability.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/api.h"
#include "server/openai.h"

namespace tack::server {

struct RerankRequest {
  std::string model;               // "": not given
  std::vector<std::string> texts;  // the query, then the documents
  std::size_t top_n = 0;           // 0: all
  bool return_documents = false;
};
ApiResult<RerankRequest> parse_rerank_request(std::string_view body);

struct ScoreRequest {
  std::string model;
  std::vector<std::string> texts;  // text_1, then text_2
  std::size_t first = 0;           // of them are text_1: one, or as many as there are of text_2
};
ApiResult<ScoreRequest> parse_score_request(std::string_view body);

// `embedded`: of the request's texts. Results best first; equal ones in the order of the documents.
Json rerank_json(const RerankRequest& request, const Embedded& embedded, const ModelInfo& model);
Json score_json(const ScoreRequest& request, const Embedded& embedded, const ModelInfo& model);

// The services outlive the server's handlers.
void add_similarity_routes(const AddLocal& add, EncoderService& encoders,
                           const GenerationService& decoders);

}  // namespace tack::server
