// Generates text: many requests share a Decoder, each with its own sampling, stop strings and
// constraint.
//
// step() runs one call of the decoder for everybody: requests that answer get a token each, and
// prompts are read in pieces with what the call has left (continuous batching). A sequence keeps
// its tokens after its request has ended: a prompt that begins like those of any sequence is not
// read again as far as they agree. What a request gets does not depend on who else is there.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "engine/decoder.h"
#include "engine/sampler.h"
#include "text/constraint.h"

namespace tack {

// What an output is bound to be (text/constraint.h).
struct OutputForm {
  enum class Kind : std::uint8_t { kFree, kJson, kSchema, kChoices };
  Kind kind = Kind::kFree;
  Json schema;                       // kSchema
  std::vector<std::string> choices;  // kChoices
};

struct GenerationRequest {
  std::vector<TokenId> prompt;   // at least one token
  std::int64_t max_tokens = -1;  // of the output; -1: what the context has room for
  SamplingOptions sampling;
  std::vector<std::string> stops;  // the output ends before one of them
  OutputForm form;
  std::int64_t logprobs = -1;  // the most likely tokens to report with each; -1: no logprobs
  bool show_special = false;   // special tokens, but for those that end, appear in the text
};

enum class FinishReason : std::uint8_t {
  kEnd,     // the model ended it, or its form is complete
  kStop,    // a stop string
  kLength,  // max_tokens, or the context is full
  kFailed,
};

// As the OpenAI API calls it: "length" or "stop".
std::string_view finish_reason_name(FinishReason reason);

struct GenerationEnd {
  FinishReason reason = FinishReason::kEnd;
  std::int64_t stop = -1;  // which stop string
  std::int64_t prompt_tokens = 0, output_tokens = 0;
  std::int64_t reused_tokens = 0;  // of the prompt: a sequence had them already
  std::optional<Error> error;      // of kFailed
};

using GenerationId = std::uint64_t;

// What one step added to one request.
struct GenerationUpdate {
  GenerationId id = 0;
  std::string text;                  // whole characters, none of a stop string
  std::vector<SampledToken> tokens;  // the token that was chosen; text may come later
  std::optional<GenerationEnd> end;
};

struct GeneratorOptions {
  DecoderOptions decoder;  // `sequences`: requests that run at once; more wait
  // Of a step while others answer: tokens of prompts it reads.
  std::int64_t prompt_piece = 64;
  std::size_t waiting = 1024;  // requests; more are refused
};

// Owned by one thread at a time.
class Generator {
 public:
  // `model` was opened with its tokenizer. Errors: those of Decoder::create().
  static Result<std::unique_ptr<Generator>> create(std::shared_ptr<const Model> model,
                                                   const GeneratorOptions& options = {});
  ~Generator();

  const Model& model() const { return decoder_->model(); }
  Decoder& decoder() { return *decoder_; }
  std::int64_t context() const { return decoder_->context(); }

  // Errors (kUsage): an empty prompt, one that leaves no room in the context (never cut silently),
  // options out of range, a schema that is not supported or that nothing satisfies; kUnreachable:
  // too many wait.
  Result<GenerationId> add(GenerationRequest request);
  // Forgets a request; nothing more is heard of it.
  void cancel(GenerationId id);
  // Forgets all requests, and what sequences have.
  void clear();
  bool idle() const { return waiting_.empty() && running() == 0; }
  std::size_t running() const;
  std::size_t waiting() const { return waiting_.size(); }
  // Tokens that sequences have in the KV cache, and how many there is room for.
  std::int64_t kv_tokens() const;
  std::int64_t kv_capacity() const { return context() * static_cast<std::int64_t>(slots_.size()); }

  // Valid until the next call. A request that fails ends with its error; the others go on.
  std::span<const GenerationUpdate> step();

 private:
  struct Job;
  struct Slot {
    std::vector<TokenId> held;  // tokens of the decoder's sequence
    std::unique_ptr<Job> job;
    std::uint64_t used = 0;  // when, in steps
  };

  Generator(std::unique_ptr<Decoder> decoder, const GeneratorOptions& options);
  Result<std::shared_ptr<const Constraint>> constraint(const OutputForm& form);
  void seat();
  bool is_being_read(std::span<const TokenId> prompt, std::size_t slot) const;
  void bring_prefix(std::size_t to, std::span<const TokenId> prompt);
  std::size_t best_slot(std::span<const TokenId> prompt) const;
  void compose();
  void take(Slot& slot, std::span<const float> logits);
  Status choose(Job& job, std::span<const float> logits, GenerationUpdate& update);
  void finish(Slot& slot, GenerationUpdate& update, FinishReason reason,
              std::optional<Error> error = {});

  const GeneratorOptions options_;
  std::unique_ptr<Decoder> decoder_;
  std::vector<TokenId> ends_;                          // tokens that end an output
  std::shared_ptr<const TokenVocabulary> vocabulary_;  // made when a form asks for it
  std::deque<std::pair<std::string, std::shared_ptr<const Constraint>>> constraints_;  // by form
  std::vector<Slot> slots_;  // by sequence of the decoder
  std::deque<std::unique_ptr<Job>> waiting_;
  GenerationId next_id_ = 1;
  std::uint64_t steps_ = 0;
  // Of the step.
  std::vector<DecoderPart> parts_;
  std::vector<std::size_t> readers_;  // slots whose prompts are read, as they came
  std::vector<GenerationUpdate> updates_;
};

// The tokens that end an output of a model: of a text, and of a turn.
std::vector<TokenId> end_tokens(const Tokenizer& tokenizer);

}  // namespace tack
