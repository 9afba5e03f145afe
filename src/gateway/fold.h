// Puts the events of a stream together again, as the answer they would have been in one piece.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace tack::gateway {

class AnswerFold {
 public:
  // The JSON text of one event; what is no event of completions is passed over.
  void add(std::string_view event);
  // "chat.completion" or "text_completion"; null before the first event.
  const Json& whole() const { return whole_; }

 private:
  void add_choice(const Json& part);

  Json whole_;
};

// The "index" of a choice, or of a call of a tool, in an event; 0 where it is none.
std::size_t index_of(const Json& part);
// What all events of a stream have in common: "id", "object", "created", "model".
Json head_of(const Json& event);

// What an answer of completions says: its text, or its calls of tools as JSON; nullopt for other
// JSON, and where there is neither.
std::optional<std::string> answer_text(const Json& whole);

// Whether two answers say the same: equal as JSON, or as texts but for case, white space and a full
// stop at the end.
bool same_answer(std::string_view a, std::string_view b);

}  // namespace tack::gateway
