#include "tasks/teacher.h"

#include <algorithm>
#include <cmath>

#include "eval/rows.h"
#include "tasks/features.h"
#include "tasks/predictor.h"

namespace tack {
namespace {

// The logits of one teacher, [texts, labels], in the order of `labels`.
Result<std::vector<float>> logits_of(const std::filesystem::path& path,
                                     const std::vector<std::string>& labels, bool multilabel,
                                     std::span<const std::string_view> texts, int threads) {
  TACK_TRY(auto teacher, TaskPredictor::open(path, {.threads = threads}));
  if (teacher->multilabel() != multilabel)
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
  TACK_TRY(const auto logits, run_texts(teacher->encoder(), texts, "logits", "asking the teacher"));
  std::vector<float> ordered;
  ordered.reserve(logits.size());
  for (std::size_t row = 0; row < logits.size(); row += labels.size())
    for (std::size_t c : column) ordered.push_back(logits[row + c]);
  return ordered;
}

}  // namespace

std::vector<float> mean_answer(std::span<const std::vector<float>> logits, std::size_t classes,
                               double temperature) {
  if (logits.size() == 1) return logits.front();
  std::vector<double> mean(logits.front().size()), p(classes);
  for (const std::vector<float>& answers : logits)
    for (std::size_t row = 0; row < answers.size(); row += classes) {
      double most = -1e300, sum = 0;
      for (std::size_t c = 0; c < classes; ++c)
        most = std::max(most, static_cast<double>(answers[row + c]));
      for (std::size_t c = 0; c < classes; ++c)
        sum += p[c] = std::exp((static_cast<double>(answers[row + c]) - most) / temperature);
      for (std::size_t c = 0; c < classes; ++c)
        mean[row + c] += p[c] / sum / static_cast<double>(logits.size());
    }
  std::vector<float> out;
  out.reserve(mean.size());
  for (double m : mean)
    out.push_back(static_cast<float>(temperature * std::log(std::max(m, 1e-30))));
  return out;
}

Result<Teaching> ask_teachers(const std::vector<std::filesystem::path>& paths,
                              const std::vector<std::string>& labels, const Dataset& train,
                              std::vector<std::string> texts, double temperature, int threads) {
  std::vector<std::string_view> all(train.texts.begin(), train.texts.end());
  all.insert(all.end(), texts.begin(), texts.end());
  std::vector<std::vector<float>> answers;
  for (const std::filesystem::path& path : paths) {
    TACK_TRY(auto logits, logits_of(path, labels, !train.label_sets.empty(), all, threads));
    answers.push_back(std::move(logits));
  }
  Teaching teaching;
  teaching.logits = mean_answer(answers, labels.size(), temperature);
  teaching.texts = std::move(texts);
  teaching.temperature = temperature;
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
