#include "tasks/teacher.h"

#include <algorithm>
#include <array>

#include "base/progress.h"
#include "eval/rows.h"
#include "tasks/predictor.h"

namespace tack {

Result<Teaching> ask_teacher(const std::filesystem::path& path,
                             const std::vector<std::string>& labels, const Dataset& train,
                             std::vector<std::string> texts, int threads) {
  TACK_TRY(auto teacher, TaskPredictor::open(path, {.threads = threads}));
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
  teaching.logits.reserve(all.size() * labels.size());
  constexpr std::size_t kBatch = 512;
  constexpr std::array<std::string_view, 1> kLogits = {"logits"};
  Progress progress("asking the teacher", static_cast<std::int64_t>(all.size()), "texts");
  for (std::size_t begin = 0; begin < all.size(); begin += kBatch) {
    const auto part = std::span(all).subspan(begin, std::min(kBatch, all.size() - begin));
    TACK_TRY(const Encoded encoded, teacher->encoder().run(part, kLogits));
    for (std::size_t r = 0; r < part.size(); ++r)
      for (std::size_t c : column)
        teaching.logits.push_back(encoded.outputs[0][r * labels.size() + c]);
    progress.advance(static_cast<std::int64_t>(part.size()));
  }
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
