// Looks at an upstream's answer without changing it: is it one, what did it use, how sure was it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/call.h"

namespace tack::gateway {

// One answer: a body, or the chunks of a stream in their order.
class AnswerMeter {
 public:
  enum class Kind : std::uint8_t {
    kAnswer,     // pass it on
    kUsageOnly,  // a chunk that holds nothing but the usage
    kError,      // an error object
    kInvalid,    // no answer: why() says what it is instead
  };

  explicit AnswerMeter(std::shared_ptr<const Call> call) : call_(std::move(call)) {}

  Kind add_body(std::string_view json);
  Kind add_chunk(std::string_view json);
  const std::string& why() const { return why_; }

  // A finish_reason has come.
  bool finished() const { return !outcome_.finish_reason.empty(); }
  // Tokens are estimated where the answer did not say.
  Outcome outcome() const;

 private:
  Kind invalid(std::string_view why);
  Kind add_embeddings(std::string_view json);
  Kind look_at(std::string_view json, bool chunk);

  const std::shared_ptr<const Call> call_;
  Outcome outcome_;
  std::optional<store::TokenUse> usage_;
  std::size_t text_bytes_ = 0;  // of the answer
  double log_probability_ = 0;  // sum over its tokens
  std::size_t log_probabilities_ = 0;
  std::string why_;
};

}  // namespace tack::gateway
