// The members that each endpoint takes, one table an endpoint: its parser refuses all others
// (fields.h), and /openapi.json describes them.
#pragma once

#include <span>

#include "server/fields.h"

namespace tack::server::fields {

extern const std::span<const Field> chat;            // POST /v1/chat/completions
extern const std::span<const Field> stream_options;  // a member of both completions
extern const std::span<const Field> completion;      // POST /v1/completions
extern const std::span<const Field> embeddings;      // POST /v1/embeddings
extern const std::span<const Field> classify;        // POST /v1/classify
extern const std::span<const Field> tag;             // POST /v1/tag
extern const std::span<const Field> extract;         // POST /v1/extract
extern const std::span<const Field> question;        // an entry of its "input"
extern const std::span<const Field> decisions;       // POST /v1/decisions
extern const std::span<const Field> predicate;       // a question of it
extern const std::span<const Field> choice;          // likewise
extern const std::span<const Field> choice_of;       // one of its "choices"
extern const std::span<const Field> score_levels;    // a question of it
extern const std::span<const Field> level;           // one of its "levels"
extern const std::span<const Field> rerank;          // POST /v1/rerank
extern const std::span<const Field> score;           // POST /v1/score
extern const std::span<const Field> moderations;     // POST /v1/moderations
extern const std::span<const Field> guard;           // POST /v1/guard
extern const std::span<const Field> tokenize;        // POST /tokenize
extern const std::span<const Field> detokenize;      // POST /detokenize

}  // namespace tack::server::fields
