// What the service needs of a model: run a batch, say what it is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "engine/text_encoder.h"
#include "guard/guard.h"
#include "tasks/extractor.h"
#include "tasks/predictor.h"

namespace tack::server {

struct ModelInfo {
  std::string id;            // the name clients use
  std::int64_t created = 0;  // seconds since 1970: of the file
  std::int64_t context_length = 0;
  std::int64_t vocab_size = 0;
  std::int64_t embedding_dim = 0;   // 0: gives no embeddings
  std::vector<std::string> labels;  // empty: does not classify
  std::vector<TaskHead> heads;      // the questions that labels answer, of a model with several
  bool tags = false;                // finds spans
  bool multilabel = false;          // a text has any number of labels
  bool extracts = false;            // answers questions
  int threads = 1;                  // that compute
  // Where its heads trip as checks of a guard, by head.
  std::map<std::string, guard::HeadThresholds, std::less<>> thresholds;
};

// What a tagger or an extractor said, as JSON (tag_json() of tasks/tagger.h, extraction_json() of
// tasks/extractor.h).
struct Tagged {
  Json answer;
  std::int64_t tokens = 0, truncated = 0;
};

struct Embedded {
  std::vector<float> vectors;     // [texts, embedding_dim]
  std::vector<EncodedText> info;  // per text
};

// Used by one thread at a time (the engine thread). Results do not depend on how texts are batched.
class ServedModel {
 public:
  virtual ~ServedModel() = default;
  virtual const ModelInfo& info() const = 0;
  virtual const Tokenizer& tokenizer() const = 0;  // any thread
  virtual Result<Embedded> embed(std::span<const std::string_view> texts) = 0;
  // Token ids as the model is to see them; the caller checks ids and lengths.
  virtual Result<Embedded> embed_tokens(std::span<const Tokens> inputs) = 0;
  // Only when info().labels is not empty; [texts, heads] where there are several.
  virtual Result<std::vector<Prediction>> classify(std::span<const std::string_view> texts) = 0;
  // Only when info().tags.
  virtual Result<std::vector<Tagged>> tag(std::span<const std::string_view>) {
    return fail(ErrorCode::kUsage, "{} finds no spans", info().id);
  }
  // Only when info().extracts.
  virtual Result<std::vector<Tagged>> extract(std::span<const QuestionText>) {
    return fail(ErrorCode::kUsage, "{} answers no questions", info().id);
  }
};

// When a file was last changed, in seconds since 1970; 0 when that cannot be known.
std::int64_t modified_at(const std::filesystem::path& path);

// A task model (with labels) or a plain encoder. `id` empty: the file's stem.
Result<std::unique_ptr<ServedModel>> open_served_model(const std::filesystem::path& path,
                                                       std::string id,
                                                       const EncoderOptions& options = {});

}  // namespace tack::server
