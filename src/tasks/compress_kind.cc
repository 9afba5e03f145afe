#include "tasks/compress_kind.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/mapped_file.h"
#include "tasks/training_report.h"

namespace tack {

double LabelledKind::share(const std::vector<bool>& right) {
  const auto count = static_cast<double>(std::ranges::count(right, true));
  return right.empty() ? 0 : count / static_cast<double>(right.size());
}

EvaluateOptions CompressKind::evaluating(Rows rows) {
  EvaluateOptions options;
  if (rows == Rows::kValidation) options.metrics.resamples = 1;
  return options;
}

Result<CompressKind::Lesson> CompressKind::prepare(const std::filesystem::path& start,
                                                   const StudentShape& shape,
                                                   const std::string& quantized,
                                                   const std::string& label,
                                                   const std::filesystem::path& out,
                                                   const std::filesystem::path& cut) const {
  TACK_TRY(const auto model, Model::open(start));
  Lesson lesson{.settings = options_.training};
  TACK_TRY(lesson.student, make_student(model, shape, texts_, cut, options_.threads));
  TACK_TRY(const auto file, MappedFile::open(start));
  const std::string depends =
      fmt::format("start {}\nstudent {}\nquantized {}\n", sha256_hex(file.text()),
                  to_text(shape.to_json()), quantized);
  lesson.settings.quantize = quantized;
  lesson.tuning = {
      .threads = options_.threads,
      .type = quantized.empty() ? "f16" : quantized,
      .checkpoint = out.string() + ".checkpoint",
      .description = describe_training(task_, lesson.settings, *model, summary_, depends),
      .label = label};
  return lesson;
}

Status CompressKind::finish(const std::string& label, const TrainingResult& training,
                            std::int64_t trained_parameters, const Model& encoder,
                            TaskArtifact artifact, const std::filesystem::path& out) const {
  if (options_.message) options_.message(training_text(label, training, trained_parameters));
  artifact.task = task_.to_json();
  artifact.metrics = Json::object();
  artifact.lineage = Json::object();
  artifact.name = task_.name;
  const bool has_head = artifact.head != nullptr || artifact.tag_head != nullptr;
  TACK_RETURN_IF_ERROR(has_head ? write_task_model(encoder, artifact, out)
                                : write_task_encoder(encoder, artifact, out));
  forget_checkpoint(out);
  return {};
}

}  // namespace tack
