// Runs a decoder: tokens are appended to sequences, each with its keys and values kept, and logits
// come out for what follows.
//
// One call runs any mixture of prompts and single next tokens. Every operator is shared among the
// workers, by rows of weights, heads or tokens. A row's bits depend on nothing but its own
// sequence: a prompt at once, in pieces, token by token, or beside others gives the same.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/priority_lane.h"
#include "base/result.h"
#include "kernels/cached_attention.h"
#include "models/model.h"

namespace tack {

// What linear layers read in a call, for whoever measures it.
struct LinearInputs {
  std::span<const std::string_view> weights;  // of the layers that read it
  const float* x = nullptr;                   // [rows, cols]
  std::int64_t rows = 0, cols = 0;
  int worker = 0, workers = 1;  // of the worker that calls, so that all can share the work
};

struct DecoderOptions {
  int threads = 0;                     // 0: all usable cores
  std::int64_t context = 0;            // tokens a sequence can hold; 0: the model's, at most 8192
  std::int64_t sequences = 1;          // that are kept at once
  std::int64_t batch = 512;            // tokens in one call
  const PriorityLane* lane = nullptr;  // given way to between operators
  kernels::KvType kv = kernels::KvType::kF16;  // how keys and values are kept
  // Weights in blocks are widened to f32 instead of meeting quantised activations: slow, the
  // model's own numbers, for comparisons.
  bool exact = false;
  // Called by every worker, once for each value that linear layers read, with the rows of all
  // tokens; also for the head, whether or not logits are wanted. Weights are exact then.
  std::function<void(const LinearInputs&)> observe;
  // Tensors that stand in for those of the model, with their shapes; null: the model's. They
  // outlive the decoder.
  std::function<const TensorView*(std::string_view weight)> replace;
};

// What one sequence gets in a call.
struct DecoderPart {
  enum class Logits : std::uint8_t { kNone, kLast, kAll };
  std::int64_t sequence = 0;        // 0 to DecoderOptions::sequences - 1; once a call
  std::span<const TokenId> tokens;  // that follow those it has; at least one
  Logits logits = Logits::kLast;    // of which tokens
};

// Owned by one thread at a time. All memory is allocated when it is made, but for Logits::kAll.
class Decoder {
 public:
  // Errors: a model that does not generate, a context beyond the model's, keys in q8_0 of heads
  // that are no multiple of 32 (kUsage).
  static Result<std::unique_ptr<Decoder>> create(std::shared_ptr<const Model> model,
                                                 const DecoderOptions& options = {});
  virtual ~Decoder() = default;

  virtual const Model& model() const = 0;
  virtual int threads() const = 0;
  virtual std::int64_t context() const = 0;
  virtual std::int64_t batch() const = 0;
  virtual std::int64_t vocab_size() const = 0;

  // Logits, [rows, vocabulary], of the parts in their order; valid until the next call. Errors
  // (kUsage), which change nothing: a sequence would outgrow the context, more tokens than a batch,
  // an id out of range.
  virtual Result<std::span<const float>> run(std::span<const DecoderPart> parts) = 0;

  // Tokens a sequence has.
  virtual std::int64_t length(std::int64_t sequence) const = 0;
  // Forgets all but the first `length` tokens. False, and all are forgotten, when layers with a
  // window no longer have what lies before.
  virtual bool rewind(std::int64_t sequence, std::int64_t length) = 0;
  // Makes the first `length` tokens of `from` all that `to` has: a copy instead of a computation.
  // False, and nothing changes, when layers with a window no longer have them.
  virtual bool copy(std::int64_t from, std::int64_t to, std::int64_t length) = 0;

  struct Memory {
    std::size_t cache = 0, arena = 0;  // bytes
  };
  virtual Memory memory() const = 0;
};

}  // namespace tack
