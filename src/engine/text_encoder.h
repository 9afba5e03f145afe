// Texts in, vectors out: tokenizes, packs micro-batches without padding, runs the planned graph.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "graph/weights.h"
#include "models/model.h"

namespace tack {

struct EncoderOptions {
  int threads = 0;  // 0: all usable cores
  // Tokens (about) that one worker takes through the model at once; longer texts go alone.
  std::int64_t micro_batch_tokens = 96;
  // Which outputs can be asked for; those that the model does not have are left out.
  std::vector<std::string> outputs = {"embedding", "logits"};
  // Computes all linear layers in this type; unset: as the file stores them.
  std::optional<graph::LinearType> linear_type;
};

struct EncodedText {
  std::int64_t tokens = 0;     // with special tokens, after truncation
  std::int64_t truncated = 0;  // tokens dropped because the text was longer than the model takes
};

// Results for the outputs asked for, row-major: outputs[o] is [texts, output_dim(o)], or for an
// output of tokens ("hidden", "tags") [tokens of all texts, output_dim(o)]; info[i] tells about
// text i.
struct Encoded {
  std::vector<std::vector<float>> outputs;
  std::vector<EncodedText> info;
};

// Owned by one thread at a time (the engine thread in `serve`). Weights are packed and all memory
// is allocated when it is made; running allocates only for tokens and results.
class TextEncoder {
 public:
  static Result<std::unique_ptr<TextEncoder>> create(std::shared_ptr<const Model> model,
                                                     const EncoderOptions& options = {});
  virtual ~TextEncoder() = default;

  virtual const Model& model() const = 0;
  virtual int threads() const = 0;
  // Columns of an output ("embedding", "logits"); 0 when there is none of that name.
  virtual std::int64_t output_dim(std::string_view output) const = 0;

  // Results do not depend on how texts are batched together, nor on the number of threads: in int8
  // not in a bit, in f32 and bf16 up to the rounding of sums (oneDNN orders them by batch size).
  // Errors: an output that the encoder was not made for (kNotFound), interruption (kInterrupted).
  virtual Result<Encoded> run(std::span<const std::string_view> texts,
                              std::span<const std::string_view> outputs) = 0;
  // The same for inputs that are token ids already; ids out of range are an error (kUsage).
  virtual Result<Encoded> run_tokens(std::span<const Tokens> inputs,
                                     std::span<const std::string_view> outputs) = 0;

  // Convenience: the "embedding" output, [texts, embedding_dim].
  Result<std::vector<float>> embed(std::span<const std::string> texts);

  struct Memory {
    std::size_t packed_weights = 0, arena = 0;  // bytes
  };
  virtual Memory memory() const = 0;
  // The plan, one line per step, for `tack show --graph`.
  virtual std::string plan_text() const = 0;
};

}  // namespace tack
