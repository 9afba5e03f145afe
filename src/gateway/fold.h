// Puts the events of a stream together again, as the answer they would have been in one piece.
#pragma once

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

// What an answer of completions says: its text, or its calls of tools as JSON; "" for other JSON.
std::string answer_text(const Json& whole);

// Whether two answers say the same: equal as JSON, or as texts but for case, white space and a full
// stop at the end.
bool same_answer(std::string_view a, std::string_view b);

}  // namespace tack::gateway
