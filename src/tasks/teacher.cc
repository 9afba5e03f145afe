#include "tasks/teacher.h"

#include <algorithm>

#include "eval/rows.h"
#include "tasks/features.h"
#include "tasks/predictor.h"

namespace tack {

Result<Teaching> ask_teacher(const std::filesystem::path& path,
                             const std::vector<std::string>& labels, const Dataset& train,
                             std::vector<std::string> texts, int threads) {
  TACK_TRY(auto teacher, TaskPredictor::open(path, {.threads = threads}));
  if (teacher->multilabel() == train.label_sets.empty())
    return fail(ErrorCode::kUsage, "{}: the teacher gives {} a text, the training rows have {}",
                path.string(), teacher->multilabel() ? "any number of labels" : "one label",
                teacher->multilabel() ? "one" : "any number");
  // column[c] is where the teacher has label c.
  std::vector<std::size_t> column;
  for (const std::string& label : labels) {
    const auto found = std::ranges::find(teacher->labels(), label);
    if (found == teacher->labels().end())
      return fail(ErrorCode::kUsage,
                  "{}: the teacher does not know the label '{}' of the training rows; a teacher "
                  "must have been built for the same labels",
                  path.string(), label);
    column.push_back(static_cast<std::size_t>(found - teacher->labels().begin()));
  }
  if (teacher->labels().size() != labels.size())
    return fail(ErrorCode::kUsage,
                "{}: the teacher has {} labels, the training rows have {}; both must be the same",
                path.string(), teacher->labels().size(), labels.size());

  std::vector<std::string_view> all(train.texts.begin(), train.texts.end());
  all.insert(all.end(), texts.begin(), texts.end());
  Teaching teaching;
  TACK_TRY(const auto logits, run_texts(teacher->encoder(), all, "logits", "asking the teacher"));
  teaching.logits.reserve(logits.size());
  for (std::size_t row = 0; row < logits.size(); row += labels.size())
    for (std::size_t c : column) teaching.logits.push_back(logits[row + c]);
  teaching.texts = std::move(texts);
  return teaching;
}

Result<std::vector<std::string>> read_unlabelled(const std::string& path,
                                                 const std::string& column) {
  TACK_TRY(auto rows, RowReader::open(path, {column}));
  std::vector<std::string> texts, fields;
  while (true) {
    TACK_TRY(const bool more, rows->next(fields));
    if (!more) break;
    if (fields[0].find_first_not_of(" \t\r\n") != std::string::npos) texts.push_back(fields[0]);
  }
  return texts;
}

}  // namespace tack
