// What a task model answers to typed questions (decision_request.h), as the JSON of OpenAI's
// `decisions` (its Python client 3.57.0, types/decision.py).
//
// A question is answered from one head of the model: its only one; of several the head that the
// question's name names, else the only head that has the labels the question speaks of.
//   choice     Every choice is a label of the head (true: "true" or "yes", false: "false" or "no",
//              without case). Probabilities are the model's, divided by their sum over the choices.
//   score      The same of the levels' labels. `value` is a level's place, from 0; `score` the
//              expected place.
//   predicate  The probability of the label that the name, else the instructions, are equal to.
//              Without such a label that of yes, of a head with the labels yes and no (or true and
//              false): it answers the one statement that it was made for.
// Anything else is a refusal, and so is a question about a text that is out of the model's scope,
// and choices that no label tells apart (true beside "true").
// Of a model with any number of labels a text the probabilities are each label's own; choices and
// levels are divided by their sum there too.
#pragma once

#include <span>

#include "server/decision_request.h"

namespace tack::server {

// predictions: [heads] of the request's text, at least one.
Json decision_json(const DecisionRequest& request, const ModelInfo& model,
                   std::span<const Prediction> predictions);

}  // namespace tack::server
