// Taggers, for compress: named spans, and perhaps a label.

#include <fmt/format.h>

#include "tasks/compress_kind.h"
#include "tasks/features.h"
#include "tasks/tagging.h"

namespace tack {
namespace {

class SpanTagger : public LabelledKind {
 public:
  SpanTagger(const Task& task, const Data& data, CompressKindOptions options)
      : LabelledKind(task, data, std::move(options)) {}

  std::string measure_name() const override { return "texts right as a whole"; }

  Result<Trial> measure(const std::filesystem::path& model, Rows rows) override {
    const Dataset& data = rows_of(rows);
    TACK_TRY(auto tagger, Tagger::open(model, {.threads = options_.threads}));
    const Dataset known = tagger->labels().empty() ? data : with_labels_of(data, tagger->labels());
    TACK_TRY(const auto measured, evaluate(*tagger, known, evaluating(rows)));
    return trial_of(measured, measured.right(), measured.to_json());
  }

  Status teach(const std::filesystem::path& start, const StudentShape& shape,
               const std::string& quantized, const std::string& label,
               const std::filesystem::path& out) override {
    const TemporaryFile cut(out, ".cut"), encoder(out, ".encoder");
    TACK_TRY(const Lesson lesson, prepare(start, shape, quantized, label, out, cut.path()));
    TeacherSettings teaching = task_.teacher;
    teaching.wanted = true;
    teaching.temperature = options_.temperature;
    teaching.labels = options_.labels;
    const TagRules rules = bio_rules(data_.train.span_names);
    TACK_TRY(
        const TrainedTagger trained,
        train_tagger(lesson.student.model, rules, data_.train, data_.validation, lesson.settings,
                     options_.original, teaching, encoder.path(), lesson.tuning));
    Json calibration = Json::object();
    BuildResult ignored;
    if (trained.label)
      calibration = calibrate(task_, trained.validation_logits, trained.validation_labels,
                              trained.label->classes, ignored);
    return finish(label, trained.training, trained.trained_parameters, *trained.encoder,
                  {.head = trained.label ? &*trained.label : nullptr,
                   .labels = trained.label ? data_.train.label_names : std::vector<std::string>{},
                   .tag_head = &trained.tags,
                   .tags = rules.names(),
                   .calibration = std::move(calibration)},
                  out);
  }
};

}  // namespace

Result<std::unique_ptr<CompressKind>> compress_tagger(const Task& task, const Data& data,
                                                      const CompressKindOptions& options) {
  const std::string path = options.original->path().string();
  if (options.original->tags().empty()) return fail(ErrorCode::kUsage, "{}: is no tagger", path);
  if (data.train.spans.empty())
    return fail(ErrorCode::kUsage, "{} marks spans, and the rows have none: name their column",
                path);
  return std::make_unique<SpanTagger>(task, data, options);
}

}  // namespace tack
