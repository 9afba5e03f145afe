// A model that is run to be looked into: chunks of tokens go in, what its linear layers read can be
// watched, outputs come out, and weights can be replaced. A decoder runs in the engine with exact
// weights, an encoder as a graph for training, both in f32.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/decoder.h"
#include "models/model.h"

namespace tack {

struct ProbeOptions {
  int threads = 0;           // 0: all usable cores; no bit depends on it
  std::int64_t longest = 0;  // tokens of a chunk
  bool outputs = true;       // wanted: a decoder's logits are not computed otherwise
  bool exact = true;         // of a decoder; else it computes as it would for a user
  std::function<void(const LinearInputs&)> observe;
  std::function<const TensorView*(std::string_view weight)> replace;
};

class Probe {
 public:
  // What its outputs are: how two models differ is the divergence of probabilities, or the angle
  // between vectors.
  enum class Output : std::uint8_t { kLogits, kVectors };

  static Result<std::unique_ptr<Probe>> create(std::shared_ptr<const Model> model,
                                               const ProbeOptions& options);
  virtual ~Probe() = default;

  // Tokens that fit one run().
  virtual std::int64_t batch() const = 0;
  virtual Output output() const = 0;
  virtual std::int64_t width() const = 0;  // columns of the outputs
  // Outputs of the chunks, one after another: a row for a token (decoders, taggers) or a chunk.
  // Valid until the next call.
  virtual Result<std::span<const float>> run(std::span<const std::vector<TokenId>> chunks) = 0;
};

// How many of `chunks`, from the first on, fit one run().
std::size_t chunks_at_once(const Probe& probe, std::span<const std::vector<TokenId>> chunks);

}  // namespace tack
