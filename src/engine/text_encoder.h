// Texts in, vectors out: tokenizes, packs micro-batches without padding, runs the planned graph.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "models/model.h"

namespace tack {

struct EncoderOptions {
  int threads = 0;                         // 0: all usable cores
  std::int64_t micro_batch_tokens = 2048;  // most tokens in flight at once: bounds the arena
};

struct EncodedText {
  std::int64_t tokens = 0;     // with special tokens, after truncation
  std::int64_t truncated = 0;  // tokens dropped because the text was longer than the context
};

// Owned by one thread at a time (the engine thread in `serve`). The memory it needs is planned and
// allocated when it is made; run() allocates only for tokens and results.
class TextEncoder {
 public:
  static Result<std::unique_ptr<TextEncoder>> create(std::shared_ptr<const Model> model,
                                                     const EncoderOptions& options = {});
  virtual ~TextEncoder() = default;

  virtual const Model& model() const = 0;
  virtual int threads() const = 0;
  // Columns of a graph output ("embedding", "logits"); 0 when the model has none of that name.
  virtual std::int64_t output_dim(std::string_view output) const = 0;

  // Computes the named outputs for every text: outputs[o] is [texts, output_dim(o)], row-major, and
  // info[i] tells about text i. Results do not depend on how texts are batched together.
  struct Encoded {
    std::vector<std::vector<float>> outputs;
    std::vector<EncodedText> info;
  };
  virtual Result<Encoded> run(std::span<const std::string_view> texts,
                              std::span<const std::string_view> outputs) = 0;

  // Convenience: the "embedding" output, [texts, embedding_dim].
  Result<std::vector<float>> embed(std::span<const std::string> texts);

  // Bytes: packed weights, arena, and the parts of the mapped file that stay in use.
  struct Memory {
    std::size_t packed_weights = 0, arena = 0;
  };
  virtual Memory memory() const = 0;
};

}  // namespace tack
