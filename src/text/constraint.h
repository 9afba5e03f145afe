// Outputs that are bound to be something: JSON of a schema, one of some choices, any JSON.
//
// A constraint says after each token which tokens may follow, so that an output is right by
// construction. json_schema.h says which schemas are supported and how their JSON is written.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "text/token_vocabulary.h"

namespace tack {

class ConstraintMachine;

// Immutable for its users, shared by requests and threads (what it has learned of its masks is
// guarded by a lock). Worth keeping for the next request with the same schema: masks are computed
// once.
class Constraint {
 public:
  using Vocabulary = std::shared_ptr<const TokenVocabulary>;

  // Errors (kUsage) name the place in the schema and the keyword: not supported, contradictory, too
  // large.
  static Result<std::shared_ptr<const Constraint>> from_schema(const Json& schema,
                                                               Vocabulary vocabulary);
  // The output is exactly one of these. Errors (kUsage): none, too many bytes.
  static Result<std::shared_ptr<const Constraint>> from_choices(
      std::span<const std::string> choices, Vocabulary vocabulary);
  // One JSON value. (An object: from_schema({"type": "object"}).)
  static Result<std::shared_ptr<const Constraint>> any_json(Vocabulary vocabulary);

  explicit Constraint(std::unique_ptr<ConstraintMachine> machine);
  ~Constraint();

  const TokenVocabulary& vocabulary() const;

 private:
  friend class ConstraintState;
  std::unique_ptr<ConstraintMachine> machine_;
};

// Where one output stands. Copies go their own ways (beams). One thread at a time.
class ConstraintState {
 public:
  explicit ConstraintState(std::shared_ptr<const Constraint> constraint);
  ConstraintState(const ConstraintState&);
  ConstraintState& operator=(const ConstraintState&);
  ConstraintState(ConstraintState&&) noexcept;
  ConstraintState& operator=(ConstraintState&&) noexcept;
  ~ConstraintState();

  // bits [TokenVocabulary::mask_words()]: bit i % 32 of word i / 32 is set when token i may come
  // next; the end tokens when the output may end. False when nothing may: the output has finished,
  // or the vocabulary lacks the bytes to go on.
  bool mask(std::span<std::uint32_t> bits);

  // False, and nothing changes, when the token is not allowed.
  bool accept(TokenId token);
  bool accept_bytes(std::string_view bytes);

  // The bytes that must come next, whatever the model wants; empty when there is a choice. At most
  // `most`.
  std::string forced_bytes(std::size_t most = 256);

  bool may_end();
  // An end token was accepted, or the output is complete and nothing could follow.
  bool finished();
  const std::string& bytes() const { return bytes_; }  // accepted so far

 private:
  struct Position;   // in the machine
  void follow();     // the machine may have forgotten where this stands
  void make_room();  // in the machine, keeping where this stands

  std::shared_ptr<const Constraint> constraint_;
  std::unique_ptr<Position> position_;
  std::string bytes_;
  bool ended_ = false;
};

}  // namespace tack
