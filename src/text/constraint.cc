#include "text/constraint.h"

#include "text/constraint_machine.h"
#include "text/json_schema.h"

namespace tack {
namespace {

Result<std::shared_ptr<const Constraint>> made(ByteGrammar grammar,
                                               Constraint::Vocabulary vocabulary) {
  return std::make_shared<const Constraint>(
      std::make_unique<ConstraintMachine>(std::move(grammar), std::move(vocabulary)));
}

}  // namespace

Constraint::Constraint(std::unique_ptr<ConstraintMachine> machine) : machine_(std::move(machine)) {}
Constraint::~Constraint() = default;

const TokenVocabulary& Constraint::vocabulary() const {
  return machine_->vocabulary();
}

Result<std::shared_ptr<const Constraint>> Constraint::from_schema(const Json& schema,
                                                                  Vocabulary vocabulary) {
  TACK_TRY(ByteGrammar grammar, compile_json_schema(schema));
  return made(std::move(grammar), std::move(vocabulary));
}

Result<std::shared_ptr<const Constraint>> Constraint::any_json(Vocabulary vocabulary) {
  return from_schema(Json(true), std::move(vocabulary));
}

Result<std::shared_ptr<const Constraint>> Constraint::from_choices(
    std::span<const std::string> choices, Vocabulary vocabulary) {
  if (choices.empty()) return fail(ErrorCode::kUsage, "choices: there is none");
  ByteGrammar grammar;
  for (const std::string& choice : choices) {
    TACK_RETURN_IF_ERROR(grammar.room(choice.size()));
    const ByteGrammar::RuleInfo& root = grammar.rule(0);
    if (choice.empty())
      grammar.skip(root.start, root.end);
    else
      grammar.read(root.start, choice, root.end);
  }
  TACK_RETURN_IF_ERROR(grammar.finish());
  return made(std::move(grammar), std::move(vocabulary));
}

struct ConstraintState::Position {
  ConstraintMachine::Place place;
  std::uint64_t generation = 0;
};

ConstraintState::ConstraintState(std::shared_ptr<const Constraint> constraint)
    : constraint_(std::move(constraint)), position_(std::make_unique<Position>()) {}
ConstraintState::ConstraintState(const ConstraintState& other)
    : constraint_(other.constraint_),
      position_(std::make_unique<Position>(*other.position_)),
      bytes_(other.bytes_),
      ended_(other.ended_) {}
ConstraintState& ConstraintState::operator=(const ConstraintState& other) {
  return *this = ConstraintState(other);
}
ConstraintState::ConstraintState(ConstraintState&&) noexcept = default;
ConstraintState& ConstraintState::operator=(ConstraintState&&) noexcept = default;
ConstraintState::~ConstraintState() = default;

void ConstraintState::follow() {
  ConstraintMachine& machine = *constraint_->machine_;
  machine.forget_if_nearly_full();
  if (position_->generation == machine.generation()) return;
  position_->place = machine.replay(bytes_);
  position_->generation = machine.generation();
}

void ConstraintState::make_room() {
  ConstraintMachine& machine = *constraint_->machine_;
  position_->place = machine.forget_all_but(position_->place);
  position_->generation = machine.generation();
}

bool ConstraintState::mask(std::span<std::uint32_t> bits) {
  ConstraintMachine& machine = *constraint_->machine_;
  const std::lock_guard lock(machine.mutex());
  if (ended_) {
    for (std::uint32_t& word : bits) word = 0;
    return false;
  }
  follow();
  const bool any = machine.mask(position_->place, bits);
  if (!machine.full()) return any;
  make_room();  // so that the answer does not depend on what was asked before
  return machine.mask(position_->place, bits);
}

bool ConstraintState::accept(TokenId token) {
  const TokenVocabulary& vocabulary = constraint_->vocabulary();
  if (token < 0 || static_cast<std::size_t>(token) >= vocabulary.size() || ended_) return false;
  if (vocabulary.is_end(token)) return ended_ = may_end();
  const std::string_view bytes = vocabulary.bytes(token);
  return !bytes.empty() && accept_bytes(bytes);
}

bool ConstraintState::accept_bytes(std::string_view bytes) {
  if (ended_) return false;
  ConstraintMachine& machine = *constraint_->machine_;
  const std::lock_guard lock(machine.mutex());
  follow();
  bool known = machine.advance(position_->place, bytes);
  if (!known && machine.full()) {
    make_room();
    known = machine.advance(position_->place, bytes);
  }
  if (!known) return false;
  bytes_ += bytes;
  return true;
}

std::string ConstraintState::forced_bytes(std::size_t most) {
  std::string out;
  if (ended_) return out;
  ConstraintMachine& machine = *constraint_->machine_;
  const std::lock_guard lock(machine.mutex());
  follow();
  ConstraintMachine::Place place = position_->place;
  while (out.size() < most) {
    const auto byte = machine.only_byte(place);
    if (!byte || machine.full()) break;
    const auto c = static_cast<char>(*byte);
    if (!machine.advance(place, {&c, 1})) break;
    out += c;
  }
  return out;
}

bool ConstraintState::may_end() {
  ConstraintMachine& machine = *constraint_->machine_;
  const std::lock_guard lock(machine.mutex());
  follow();
  return !ended_ && machine.may_end(position_->place);
}

bool ConstraintState::finished() {
  if (ended_) return true;
  ConstraintMachine& machine = *constraint_->machine_;
  const std::lock_guard lock(machine.mutex());
  follow();
  return machine.may_end(position_->place) && !machine.may_go_on(position_->place);
}

}  // namespace tack
