// Encoders, for compress: by texts that belong together.

#include <memory>
#include <string>
#include <vector>

#include "tasks/build_embedding.h"
#include "tasks/compress_kind.h"
#include "tasks/contrast.h"
#include "tasks/embedding.h"
#include "tasks/features.h"
#include "tasks/heads.h"

namespace tack {
namespace {

struct Pairs {
  PairData data;
  std::vector<std::string> texts;  // both sides of those to learn from
};

class Embedder : public CompressKind {
 public:
  Embedder(const Task& task, CompressKindOptions options, std::unique_ptr<const Pairs> pairs)
      : CompressKind(task, std::move(options), pairs->texts, summary_of(pairs->data)),
        pairs_(std::move(pairs)),
        data_(pairs_->data) {}

  std::string measure_name() const override { return scored() ? "Spearman" : "MRR"; }
  const char* quality_key() const override { return scored() ? "spearman" : "mrr"; }

  Result<Trial> measure(const std::filesystem::path& model, Rows rows) override {
    const PairSet& pairs = rows == Rows::kGate ? data_.test : data_.validation;
    const auto measured = std::make_shared<PairEvaluation>();
    TACK_TRY(*measured, evaluate_pairs(model, pairs, options_.threads));
    // The statistic reads the evaluation that it is of.
    return Trial{.statistic = [measured, of_rows = measured->statistic()](
                                  std::span<const std::int64_t> picked) { return of_rows(picked); },
                 .resamples = measured->gate_resamples(),
                 .rows = measured->rows(),
                 .quality = measured->quality().value,
                 .p50_us = static_cast<double>(percentile(measured->latency_us, 0.5)),
                 .texts_per_second = measured->texts_per_second,
                 .details = measured->to_json()};
  }

  Status teach(const std::filesystem::path& start, const StudentShape& shape,
               const std::string& quantized, const std::string& label,
               const std::filesystem::path& out) override {
    const TemporaryFile cut(out, ".cut"), encoder(out, ".encoder");
    TACK_TRY(const Lesson lesson, prepare(start, shape, quantized, label, out, cut.path()));
    TeacherSettings teaching = task_.teacher;
    teaching.wanted = true;
    teaching.labels = options_.labels;
    TACK_TRY(const TrainedEncoder trained,
             train_embedding(lesson.student.model, data_.train, data_.validation, lesson.settings,
                             options_.original, teaching, encoder.path(), lesson.tuning));
    return finish(label, trained.training, trained.trained_parameters, *trained.encoder, {}, out);
  }

 private:
  bool scored() const { return data_.train.kind == PairKind::kScored; }

  const std::unique_ptr<const Pairs> pairs_;
  const PairData& data_;
};

}  // namespace

Result<std::unique_ptr<CompressKind>> compress_embedder(const Task& task,
                                                        const CompressKindOptions& options) {
  const Model& model = *options.original;
  if (model.generates() || !model.labels().empty() || !model.tags().empty())
    return fail(ErrorCode::kUsage, "{}: a task of kind embed is for an encoder, and this is none",
                model.path().string());
  BuildResult rows;
  auto pairs = std::make_unique<Pairs>();
  TACK_TRY(pairs->data, read_pair_data(task, rows));
  if (options.message) options.message(describe_pairs(task, pairs->data, rows));
  const PairSet& train = pairs->data.train;
  pairs->texts = train.texts;
  pairs->texts.insert(pairs->texts.end(), train.others.begin(), train.others.end());
  return std::make_unique<Embedder>(task, options, std::move(pairs));
}

}  // namespace tack
