// Classifiers, for compress: of one label a text, or of any number.

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/mapped_file.h"
#include "tasks/compress_kind.h"
#include "tasks/features.h"
#include "tasks/finetune.h"
#include "tasks/multilabel.h"
#include "tasks/report.h"
#include "tasks/teacher.h"
#include "tasks/training_report.h"

namespace tack {
namespace {

double share(const std::vector<bool>& right) {
  const auto count = static_cast<double>(std::ranges::count(right, true));
  return right.empty() ? 0 : count / static_cast<double>(right.size());
}

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

class Classifier : public CompressKind {
 public:
  Classifier(const Task& task, const Data& data, CompressKindOptions options)
      : task_(task), data_(data), options_(std::move(options)) {}

  std::string measure_name() const override {
    if (!data_.test.label_sets.empty()) return "texts with all labels right";
    const bool scope =
        std::ranges::any_of(data_.test.labels, [](std::int32_t label) { return label < 0; });
    return scope ? "accuracy, out of scope included" : "accuracy";
  }

  Result<Trial> measure(const std::filesystem::path& model, Rows rows) override {
    const Dataset& data = rows == Rows::kGate ? data_.test : data_.validation;
    TACK_TRY(auto predictor, TaskPredictor::open(model, {.threads = options_.threads}));
    const Dataset known = with_labels_of(data, predictor->labels());
    Trial out;
    EvaluateOptions evaluation;
    if (rows == Rows::kValidation) evaluation.metrics.resamples = 1;
    const auto fill = [&](const auto& measured, std::vector<bool> right) {
      out.right = std::move(right);
      out.quality = share(out.right);
      out.p50_us = static_cast<double>(percentile(measured.latency_us, 0.5));
      out.texts_per_second = measured.texts_per_second;
      out.details = measured.to_json(predictor->labels());
    };
    if (predictor->multilabel()) {
      TACK_TRY(const auto measured, evaluate_label_sets(*predictor, known, evaluation));
      fill(measured, measured.right());
      out.text = label_set_evaluation_text(measured, predictor->labels());
    } else {
      TACK_TRY(const auto measured, evaluate(*predictor, known, evaluation));
      fill(measured, right_of(measured.answers));
      out.text = evaluation_text(measured, predictor->labels());
    }
    return out;
  }

  Status teach(const std::filesystem::path& start, const StudentShape& shape,
               const std::string& quantized, const std::string& label,
               const std::filesystem::path& out) override {
    if (!teaching_) {
      TACK_TRY(teaching_, ask_teachers({options_.original}, data_.train.label_names, data_.train,
                                       {}, options_.temperature, options_.threads));
      teaching_->labels = options_.labels;
    }
    TACK_TRY(const auto model, Model::open(start));
    const TemporaryFile cut(out, ".cut"), encoder(out, ".encoder");
    TACK_TRY(const Student student,
             make_student(model, shape, data_.train.texts, cut.path(), options_.threads));
    TACK_TRY(const auto file, MappedFile::open(start));
    const std::string depends =
        fmt::format("start {}\nstudent {}\nquantized {}\n", sha256_hex(file.text()),
                    to_text(shape.to_json()), quantized);
    TrainSettings settings = options_.training;
    settings.quantize = quantized;
    FineTuneOptions tuning{
        .threads = options_.threads,
        .type = quantized.empty() ? "f16" : quantized,
        .teaching = &*teaching_,
        .checkpoint = out.string() + ".checkpoint",
        .description = describe_training(task_, settings, *model, summary_of(data_), depends),
        .label = label};
    TACK_TRY(FineTuned tuned, fine_tune(student.model, data_.train, data_.validation, settings,
                                        encoder.path(), tuning));
    if (options_.message)
      options_.message(training_text(label, tuned.training, tuned.trained_parameters));
    BuildResult ignored;
    const Json calibration =
        data_.validation.label_sets.empty()
            ? calibrate(task_, tuned.validation_logits, tuned.validation_labels, tuned.head.classes,
                        ignored)
            : calibrate_sets(tuned.validation_logits, dense_targets(data_.validation), ignored);
    const TaskArtifact artifact{.head = &tuned.head,
                                .labels = data_.train.label_names,
                                .task = task_.to_json(),
                                .calibration = calibration,
                                .metrics = Json::object(),
                                .lineage = Json::object(),
                                .name = task_.name,
                                .licence = ""};
    TACK_RETURN_IF_ERROR(write_task_model(*tuned.encoder, artifact, out));
    forget_checkpoint(out);
    return {};
  }

 private:
  const Task& task_;
  const Data& data_;
  const CompressKindOptions options_;
  std::optional<Teaching> teaching_;
};

}  // namespace

Result<std::unique_ptr<CompressKind>> compress_classifier(const Task& task, const Data& data,
                                                          const CompressKindOptions& options) {
  TACK_TRY(auto predictor, TaskPredictor::open(options.original, {.threads = 1}));
  std::vector<std::string> theirs = predictor->labels(), ours = data.train.label_names;
  std::ranges::sort(theirs);
  std::ranges::sort(ours);
  if (theirs != ours) {
    std::vector<std::string> apart;
    std::ranges::set_symmetric_difference(theirs, ours, std::back_inserter(apart));
    return fail(ErrorCode::kUsage,
                "{}: its labels are not those of the rows: '{}' is in one of them only",
                options.original.string(), apart.front());
  }
  if (predictor->multilabel() == data.train.label_sets.empty())
    return fail(ErrorCode::kUsage, "{}: it gives {} a text, the rows have {}",
                options.original.string(),
                predictor->multilabel() ? "any number of labels" : "one label",
                predictor->multilabel() ? "one" : "any number");
  return std::make_unique<Classifier>(task, data, options);
}

}  // namespace tack
