// What a search for a smaller model asks of a kind of task: how good a file is on rows, and a
// student of it.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "eval/gate.h"
#include "models/model.h"
#include "tasks/build_steps.h"
#include "tasks/finetune.h"
#include "tasks/task.h"

namespace tack {

// How a model did on some rows.
struct Trial {
  std::vector<bool> right;                  // of each row, where quality is the share of them
  RowStatistic statistic;                   // quality as one of `rows`, where it is not
  int resamples = GateOptions{}.resamples;  // of the gate's bound
  std::int64_t rows = 0;
  double quality = 0;
  double p50_us = 0;  // of a single text
  double texts_per_second = 0;
  Json details;  // everything that was measured
};

struct CompressKindOptions {
  std::shared_ptr<const Model> original;
  TrainSettings training;
  double temperature = 2, labels = 0.3;  // TeacherSettings
  int threads = 1;
  std::function<void(const std::string&)> message;
};

class CompressKind {
 public:
  enum class Rows : std::uint8_t { kValidation, kGate };

  virtual ~CompressKind() = default;
  // What `quality` is, in words: "accuracy".
  virtual std::string measure_name() const = 0;
  // Its key where a result stands beside the original.
  virtual const char* quality_key() const { return "accuracy"; }
  virtual Result<Trial> measure(const std::filesystem::path& model, Rows rows) = 0;
  // Teaches the part `shape` of the task model `start` what the original answers to the training
  // rows, and writes the task model in f16, or in the block type `quantized` with which it was
  // trained. A checkpoint stands beside `out` until it is done.
  virtual Status teach(const std::filesystem::path& start, const StudentShape& shape,
                       const std::string& quantized, const std::string& label,
                       const std::filesystem::path& out) = 0;

  // The training texts, and how many rows of each part there are.
  std::span<const std::string> texts() const { return texts_; }
  const DataSummary& summary() const { return summary_; }

 protected:
  // `texts` outlive it.
  CompressKind(const Task& task, CompressKindOptions options, std::span<const std::string> texts,
               DataSummary summary)
      : task_(task), options_(std::move(options)), texts_(texts), summary_(std::move(summary)) {}

  // Intervals are for the gate's rows alone.
  static EvaluateOptions evaluating(Rows rows);

  // What a training of any kind begins with: the student, which `cut` holds when it is a part of
  // `start`, the settings, and what a checkpoint must have been made of.
  struct Lesson {
    Student student;
    TrainSettings settings;
    FineTuneOptions tuning;
  };
  Result<Lesson> prepare(const std::filesystem::path& start, const StudentShape& shape,
                         const std::string& quantized, const std::string& label,
                         const std::filesystem::path& out, const std::filesystem::path& cut) const;
  // Says how the training went, writes the task model (without a head the encoder) and drops its
  // checkpoint. `artifact` has heads, labels and calibration.
  Status finish(const std::string& label, const TrainingResult& training,
                std::int64_t trained_parameters, const Model& encoder, TaskArtifact artifact,
                const std::filesystem::path& out) const;

  const Task& task_;
  const CompressKindOptions options_;

 private:
  const std::span<const std::string> texts_;
  const DataSummary summary_;
};

// One whose rows are right or wrong.
class LabelledKind : public CompressKind {
 protected:
  LabelledKind(const Task& task, const Data& data, CompressKindOptions options)
      : CompressKind(task, std::move(options), data.train.texts, summary_of(data)), data_(data) {}

  const Dataset& rows_of(Rows rows) const {
    return rows == Rows::kGate ? data_.test : data_.validation;
  }
  template <class AnyEvaluation>
  static Trial trial_of(const AnyEvaluation& measured, std::vector<bool> right, Json details) {
    return {.right = right,
            .rows = static_cast<std::int64_t>(right.size()),
            .quality = share(right),
            .p50_us = static_cast<double>(percentile(measured.latency_us, 0.5)),
            .texts_per_second = measured.texts_per_second,
            .details = std::move(details)};
  }

  const Data& data_;

 private:
  static double share(const std::vector<bool>& right);
};

// One label a text, or any number. Task and data outlive it. Errors: a model whose labels are not
// those of the rows.
Result<std::unique_ptr<CompressKind>> compress_classifier(const Task& task, const Data& data,
                                                          const CompressKindOptions& options);
// Named spans, and perhaps a label.
Result<std::unique_ptr<CompressKind>> compress_tagger(const Task& task, const Data& data,
                                                      const CompressKindOptions& options);

// An encoder, by texts that belong together. It reads the task's rows itself. Errors: those of
// reading them; a model that is no plain encoder.
Result<std::unique_ptr<CompressKind>> compress_embedder(const Task& task,
                                                        const CompressKindOptions& options);

}  // namespace tack
