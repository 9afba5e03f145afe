// A ByteGrammar made deterministic while it is used, and masks of tokens cached by its states.
//
// A state is the set of places in the innermost open bracket where an output may be; where each of
// them returns to is named by indices into a frame, made when the bracket was opened. So a state
// knows nothing of the brackets around it, there are few of them, and the tokens it allows are
// computed once: those that stay inside the bracket are a mask, those that close it and go on are
// listed with the place where they do, and are followed in the actual frames, each time.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "text/byte_grammar.h"
#include "text/token_vocabulary.h"

namespace tack {

// Not thread-safe: callers hold mutex().
class ConstraintMachine {
 public:
  using State = std::uint32_t;
  using Frame = std::uint32_t;

  // Where an output stands. `frames`: of the open brackets, outermost first.
  struct Place {
    State state = 0;
    std::vector<Frame> frames;
  };

  // `grammar` is finished. `most_states`: remembered at most.
  ConstraintMachine(ByteGrammar grammar, std::shared_ptr<const TokenVocabulary> vocabulary,
                    std::size_t most_states = 100'000);

  std::mutex& mutex() { return mutex_; }
  const TokenVocabulary& vocabulary() const { return *vocabulary_; }

  // Ids of states and frames hold until the generation changes, which these two do.
  std::uint64_t generation() const { return generation_; }
  void forget_if_nearly_full();
  Place forget_all_but(const Place& place);
  bool full() const { return full_; }  // the last answer may lack what could not be remembered

  Place start() { return {start_, {}}; }
  // False, and the place is as before, when no output goes on like this.
  bool advance(Place& place, std::string_view bytes);
  // Where bytes lead that are known to be right, from the start. May forget.
  Place replay(std::string_view bytes);
  bool may_end(const Place& place) const {
    return place.frames.empty() && states_[place.state].ends;
  }
  // The only byte that may follow, if there is only one and the output may not end here; and
  // whether any may.
  std::optional<std::uint8_t> only_byte(const Place& place);
  bool may_go_on(const Place& place);

  // Sets the bits of all allowed tokens (ends too). False: there is none.
  bool mask(const Place& place, std::span<std::uint32_t> bits);

  std::size_t states() const { return states_.size(); }
  std::size_t cached_masks() const { return masks_.size(); }

 private:
  using Node = ByteGrammar::Node;
  using Set = std::uint32_t;  // a sorted set of indices into a frame
  struct Item {
    Node node;
    Set returns;
    auto operator<=>(const Item&) const = default;
  };
  using Items = std::vector<Item>;
  struct ItemsHash {
    std::size_t operator()(const Items& items) const;
  };

  struct StateInfo {
    const Items* items = nullptr;
    bool ends = false;            // an output may end here
    std::uint16_t most_need = 0;  // of its items
    std::uint32_t plain_run = 0;  // plain characters that are certain to be allowed
    bool plain_alone = false;     // and plain text can go on in no other way
  };
  struct FrameInfo {
    const Items* returns = nullptr;  // nodes to go on at, and the indices they return to
  };
  // What a byte does in a state.
  enum class Kind : std::uint8_t { kUnknown, kDead, kStay, kPush, kPop };
  struct Step {
    Kind kind = Kind::kUnknown;
    std::uint32_t to = 0;    // kStay, kPush: the state; kPop: the set of indices
    Frame frame = 0;         // kPush
    std::uint32_t need = 0;  // kPush: the most any of its calls needs, from outside the bracket
  };

  struct Open {          // a token that closes the bracket and may go on
    bool plain;          // in which of the two tries
    std::uint32_t node;  // of it
    Set returns;
  };
  struct Mask {
    std::vector<std::uint32_t> bits;  // or, when they are few,
    std::vector<TokenId> ids;
    std::vector<Open> opens;
    std::uint32_t deepest = 0;  // brackets below this state that tokens open or need
  };

  // Frames as a list from the innermost outwards; 0 is the bottom.
  struct Link {
    Frame frame;
    std::uint32_t outer;
  };
  struct Level {
    State state;
    std::uint32_t link, depth;
    std::size_t links;
  };
  class Walk;

  void find_classes();
  void find_counted();
  void clear();
  State intern(Items items);
  Set intern_set(std::vector<std::uint32_t> set);
  Frame intern_frame(Items returns);
  State closed(Items items);  // with all that is reached without reading; kNoState: nothing is
  State within(State state, std::uint32_t budget);
  Step compute(State state, std::uint8_t byte, std::uint32_t budget);
  Step step(State state, std::uint8_t byte, std::uint32_t depth);
  State pop(Set returns, Frame frame, std::uint32_t depth);
  State representative(State state);
  const Mask& mask_of(State state);
  void add_plain(const StateInfo& info, std::span<std::uint32_t> bits) const;

  static constexpr State kNoState = ByteGrammar::kNone;

  ByteGrammar grammar_;
  std::shared_ptr<const TokenVocabulary> vocabulary_;
  std::mutex mutex_;
  std::size_t most_states_;
  std::uint64_t generation_ = 0;

  std::vector<std::uint8_t> class_of_;  // bytes that no edge tells apart are one class
  std::uint32_t classes_ = 0;
  struct Counted {
    std::uint32_t string = ByteGrammar::kNone;
    std::uint32_t run = 0;  // more plain characters
    Node like = 0;          // a node that allows the same tokens
  };
  std::vector<Counted> counted_;  // by node; empty: the grammar has no counted string

  std::unordered_map<Items, State, ItemsHash> state_ids_;
  std::unordered_map<Items, Frame, ItemsHash> frame_ids_;
  std::map<std::vector<std::uint32_t>, Set> set_ids_;
  std::vector<const std::vector<std::uint32_t>*> sets_;
  std::vector<StateInfo> states_;
  std::vector<FrameInfo> frames_;
  std::vector<Step> steps_;  // [states, classes]
  // The same for walks, which are nearly always about these: the state when the bracket stays the
  // same and needs no other, kDeadQuickly, or kAskStep.
  std::vector<std::int32_t> quick_;
  static constexpr std::int32_t kDeadQuickly = -1, kAskStep = -2;
  std::vector<std::uint32_t> runs_;  // by state: plain_run
  std::unordered_map<std::uint64_t, State> pops_;
  std::unordered_map<State, Mask> masks_;
  std::size_t mask_bytes_ = 0, item_count_ = 0;
  bool full_ = false;  // a state was refused
  State start_ = 0;

  std::vector<std::uint64_t> seen_;  // by node: the last closure that met it
  std::uint64_t stamp_ = 0;
  std::vector<Link> links_;
  std::vector<Level> levels_;
};

}  // namespace tack
