// Questions about a context, answered by a stretch of it or by nothing: extractive question
// answering.
//
//   SQuAD JSON  {"data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question",
//               "answers": [{"text", "answer_start"}], "is_impossible"}]}]}]}, versions 1.1
//               and 2.0; plausible answers are not read
//   JSON lines  {"context", "question", "answers": [{"text", "start"}], "id"}; no answers, or an
//               empty list: the context does not answer it. {"text": [...], "answer_start": [...]},
//               as data sets of Hugging Face have it, is read too
//
// Files count characters; in memory there are bytes. The text at an answer's place is checked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "eval/dataset.h"

namespace tack {

// A stretch of bytes of a context.
struct Stretch {
  std::int64_t begin = 0, end = 0;
  bool operator==(const Stretch&) const = default;
};

struct Question {
  std::string id, text;
  std::size_t context = 0;       // index into QuestionSet::contexts
  std::vector<Stretch> answers;  // different ones, as good as each other; none: no answer
};

struct QuestionSet {
  std::string name;                   // the path, for messages
  std::vector<std::string> contexts;  // different ones
  std::vector<std::string> titles;    // of the document that each context is from; "": not known
  std::vector<Question> questions;
  std::string sha256;  // of all of it, in order: for the lineage

  std::size_t size() const { return questions.size(); }
  std::size_t answerable() const;
  const std::string& context_of(std::size_t question) const {
    return contexts[questions[question].context];
  }
  // The texts of a question's answers.
  std::vector<std::string_view> answers_of(std::size_t question) const;
  // The questions of `which`, in that order, with the contexts they need.
  QuestionSet subset(const std::vector<std::size_t>& which) const;
};

// Errors: those of reading; a key that is missing, with its line or place; an answer that is not
// what the context has there; no questions.
Result<QuestionSet> read_questions(const DataSource& source);
// The same over a file's text; source.path stands in error messages.
Result<QuestionSet> parse_questions(std::string_view text, const DataSource& source);

// Divides by a hash of the content, so that both parts never share a document; about `fraction` of
// the questions, at least one, go to the second part. Documents are the titles, or where there are
// fewer than ten the contexts, or else the questions themselves.
Split split_questions(const QuestionSet& data, double fraction, std::uint64_t seed);

// `count` questions (all, when there are no more) chosen by a hash of question and context, in the
// order of the file.
QuestionSet pick_questions(const QuestionSet& data, std::size_t count, std::uint64_t seed);

// How many questions of `test` are about a context that also stands in `train`.
std::size_t count_context_overlap(const QuestionSet& train, const QuestionSet& test);

}  // namespace tack
