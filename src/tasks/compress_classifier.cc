// Classifiers, for compress: of one label a text, or of any number.

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "tasks/compress_kind.h"
#include "tasks/features.h"
#include "tasks/multilabel.h"
#include "tasks/teacher.h"

namespace tack {
namespace {

// Rows out of scope are right when they are flagged; where there are some, flagging any other is
// wrong.
std::vector<bool> right_of(const Answers& answers) {
  const bool scope = std::ranges::any_of(answers.truth, [](std::int32_t t) { return t < 0; });
  std::vector<bool> right;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const bool label = answers.truth[i] == answers.predicted[i];
    right.push_back(answers.truth[i] < 0 ? answers.flagged[i]
                                         : label && !(scope && answers.flagged[i]));
  }
  return right;
}

class Classifier : public LabelledKind {
 public:
  Classifier(const Task& task, const Data& data, CompressKindOptions options)
      : LabelledKind(task, data, std::move(options)) {}

  std::string measure_name() const override {
    if (!data_.test.label_sets.empty()) return "texts with all labels right";
    const bool scope =
        std::ranges::any_of(data_.test.labels, [](std::int32_t label) { return label < 0; });
    return scope ? "accuracy, out of scope included" : "accuracy";
  }

  Result<Trial> measure(const std::filesystem::path& model, Rows rows) override {
    TACK_TRY(auto predictor, TaskPredictor::open(model, {.threads = options_.threads}));
    const Dataset known = with_labels_of(rows_of(rows), predictor->labels());
    if (predictor->multilabel()) {
      TACK_TRY(const auto measured, evaluate_label_sets(*predictor, known, evaluating(rows)));
      return trial_of(measured, measured.right(), measured.to_json(predictor->labels()));
    }
    TACK_TRY(const auto measured, evaluate(*predictor, known, evaluating(rows)));
    return trial_of(measured, right_of(measured.answers), measured.to_json(predictor->labels()));
  }

  Status teach(const std::filesystem::path& start, const StudentShape& shape,
               const std::string& quantized, const std::string& label,
               const std::filesystem::path& out) override {
    if (!teaching_) {
      TACK_TRY(teaching_, ask_teachers({options_.original->path()}, data_.train.label_names,
                                       data_.train, {}, options_.temperature, options_.threads));
      teaching_->labels = options_.labels;
    }
    const TemporaryFile cut(out, ".cut"), encoder(out, ".encoder");
    TACK_TRY(Lesson lesson, prepare(start, shape, quantized, label, out, cut.path()));
    lesson.tuning.teaching = &*teaching_;
    TACK_TRY(const FineTuned tuned, fine_tune(lesson.student.model, data_.train, data_.validation,
                                              lesson.settings, encoder.path(), lesson.tuning));
    BuildResult ignored;
    const Json calibration =
        data_.validation.label_sets.empty()
            ? calibrate(task_, tuned.validation_logits, tuned.validation_labels, tuned.head.classes,
                        ignored)
            : calibrate_sets(tuned.validation_logits, dense_targets(data_.validation), ignored);
    return finish(
        label, tuned.training, tuned.trained_parameters, *tuned.encoder,
        {.head = &tuned.head, .labels = data_.train.label_names, .calibration = calibration}, out);
  }

 private:
  std::optional<Teaching> teaching_;
};

}  // namespace

Result<std::unique_ptr<CompressKind>> compress_classifier(const Task& task, const Data& data,
                                                          const CompressKindOptions& options) {
  const Model& original = *options.original;
  const std::string path = original.path().string();
  if (original.labels().empty())
    return fail(ErrorCode::kUsage,
                "{} is an encoder without labels: make a task model of it with `tack build`", path);
  TACK_TRY(const auto heads, task_heads(original));
  TACK_RETURN_IF_ERROR(find_head(heads, "", path));
  std::vector<std::string> theirs = original.labels(), ours = data.train.label_names;
  std::ranges::sort(theirs);
  std::ranges::sort(ours);
  if (theirs != ours) {
    std::vector<std::string> apart;
    std::ranges::set_symmetric_difference(theirs, ours, std::back_inserter(apart));
    return fail(ErrorCode::kUsage,
                "{}: its labels are not those of the rows: '{}' is in one of them only", path,
                apart.front());
  }
  const bool any_number = heads.front().calibration.multilabel;
  if (any_number == data.train.label_sets.empty())
    return fail(ErrorCode::kUsage, "{}: it gives {} a text, the rows have {}", path,
                any_number ? "any number of labels" : "one label",
                any_number ? "one" : "any number");
  return std::make_unique<Classifier>(task, data, options);
}

}  // namespace tack
