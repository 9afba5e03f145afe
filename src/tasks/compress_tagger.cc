// Taggers, for compress: named spans, and perhaps a label.

#include <algorithm>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/mapped_file.h"
#include "tasks/compress_kind.h"
#include "tasks/features.h"
#include "tasks/report.h"
#include "tasks/tagging.h"
#include "tasks/training_report.h"

namespace tack {
namespace {

class SpanTagger : public CompressKind {
 public:
  SpanTagger(const Task& task, const Data& data, CompressKindOptions options)
      : task_(task), data_(data), options_(std::move(options)) {}

  std::string measure_name() const override { return "texts right as a whole"; }

  Result<Trial> measure(const std::filesystem::path& model, Rows rows) override {
    const Dataset& data = rows == Rows::kGate ? data_.test : data_.validation;
    TACK_TRY(auto tagger, Tagger::open(model, {.threads = options_.threads}));
    const Dataset known = tagger->labels().empty() ? data : with_labels_of(data, tagger->labels());
    EvaluateOptions evaluation;
    if (rows == Rows::kValidation) evaluation.metrics.resamples = 1;
    TACK_TRY(const auto measured, evaluate(*tagger, known, evaluation));
    Trial out;
    out.right = measured.right();
    out.quality = out.right.empty() ? 0
                                    : static_cast<double>(std::ranges::count(out.right, true)) /
                                          static_cast<double>(out.right.size());
    out.p50_us = static_cast<double>(percentile(measured.latency_us, 0.5));
    out.texts_per_second = measured.texts_per_second;
    out.details = measured.to_json();
    out.text = tag_evaluation_text(measured);
    return out;
  }

  Status teach(const std::filesystem::path& start, const StudentShape& shape,
               const std::string& quantized, const std::string& label,
               const std::filesystem::path& out) override {
    TACK_TRY(const auto model, Model::open(start));
    TACK_TRY(const auto teacher, Model::open(options_.original));
    const TemporaryFile cut(out, ".cut"), encoder(out, ".encoder");
    TACK_TRY(const Student student,
             make_student(model, shape, data_.train.texts, cut.path(), options_.threads));
    TACK_TRY(const auto file, MappedFile::open(start));
    const std::string depends =
        fmt::format("start {}\nstudent {}\nquantized {}\n", sha256_hex(file.text()),
                    to_text(shape.to_json()), quantized);
    TeacherSettings teaching = task_.teacher;
    teaching.wanted = true;
    teaching.temperature = options_.temperature;
    teaching.labels = options_.labels;
    TrainSettings settings = options_.training;
    settings.quantize = quantized;
    const TagRules rules = bio_rules(data_.train.span_names);
    FineTuneOptions tuning{
        .threads = options_.threads,
        .type = quantized.empty() ? "f16" : quantized,
        .checkpoint = out.string() + ".checkpoint",
        .description = describe_training(task_, settings, *model, summary_of(data_), depends),
        .label = label};
    TACK_TRY(TrainedTagger trained,
             train_tagger(student.model, rules, data_.train, data_.validation, settings, teacher,
                          teaching, encoder.path(), tuning));
    if (options_.message)
      options_.message(training_text(label, trained.training, trained.trained_parameters));
    Json calibration = Json::object();
    BuildResult ignored;
    if (trained.label)
      calibration = calibrate(task_, trained.validation_logits, trained.validation_labels,
                              trained.label->classes, ignored);
    const TaskArtifact artifact{
        .head = trained.label ? &*trained.label : nullptr,
        .labels = trained.label ? data_.train.label_names : std::vector<std::string>{},
        .tag_head = &trained.tags,
        .tags = rules.names(),
        .task = task_.to_json(),
        .calibration = std::move(calibration),
        .metrics = Json::object(),
        .lineage = Json::object(),
        .name = task_.name,
        .licence = ""};
    TACK_RETURN_IF_ERROR(write_task_model(*trained.encoder, artifact, out));
    forget_checkpoint(out);
    return {};
  }

 private:
  const Task& task_;
  const Data& data_;
  const CompressKindOptions options_;
};

}  // namespace

Result<std::unique_ptr<CompressKind>> compress_tagger(const Task& task, const Data& data,
                                                      const CompressKindOptions& options) {
  TACK_RETURN_IF_ERROR(Tagger::open(options.original, {.threads = 1}));
  if (data.train.spans.empty())
    return fail(ErrorCode::kUsage, "{} marks spans, and the rows have none: name their column",
                options.original.string());
  return std::make_unique<SpanTagger>(task, data, options);
}

}  // namespace tack
