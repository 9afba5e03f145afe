// Which texts of a subject a model must see.
#pragma once

#include <vector>

#include "guard/check.h"

namespace tack::guard {

// Windows of `context` tokens over the passages, normalised, and over what is hidden in them.
// Passages before `alone` were seen when they were new: they are joined, so that a long
// conversation stays cheap, and asked last.
std::vector<Ask> ask_texts(std::span<SeenPassage* const> passages, std::size_t alone,
                           std::int64_t context);

// Of the answer of an output stage: the windows that hold something new, and what is hidden there.
std::vector<Ask> ask_answer(SeenSubject& subject, std::int64_t context);

}  // namespace tack::guard
