// What a search for a smaller model asks of a kind of task: how good a file is on rows, and a
// student of it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "models/model.h"
#include "tasks/build_steps.h"
#include "tasks/finetune.h"
#include "tasks/task.h"

namespace tack {

// How a model did on some rows.
struct Trial {
  std::vector<bool> right;  // of each row
  double quality = 0;       // the share of them
  double p50_us = 0;        // of a single text
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
  virtual Result<Trial> measure(const std::filesystem::path& model, Rows rows) = 0;
  // Teaches the part `shape` of the task model `start` what the original answers to the training
  // rows, and writes the task model in f16, or in the block type `quantized` with which it was
  // trained. A checkpoint stands beside `out` until it is done.
  virtual Status teach(const std::filesystem::path& start, const StudentShape& shape,
                       const std::string& quantized, const std::string& label,
                       const std::filesystem::path& out) = 0;

 protected:
  CompressKind(const Task& task, const Data& data, CompressKindOptions options)
      : task_(task), data_(data), options_(std::move(options)) {}

  const Dataset& rows_of(Rows rows) const {
    return rows == Rows::kGate ? data_.test : data_.validation;
  }
  // Intervals are for the gate's rows alone.
  static EvaluateOptions evaluating(Rows rows);
  template <class AnyEvaluation>
  static Trial trial_of(const AnyEvaluation& measured, std::vector<bool> right, Json details) {
    return {.right = right,
            .quality = share(right),
            .p50_us = static_cast<double>(percentile(measured.latency_us, 0.5)),
            .texts_per_second = measured.texts_per_second,
            .details = std::move(details)};
  }

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
  // Says how the training went, writes the task model and drops its checkpoint. `artifact` has
  // heads, labels and calibration.
  Status finish(const std::string& label, const TrainingResult& training,
                std::int64_t trained_parameters, const Model& encoder, TaskArtifact artifact,
                const std::filesystem::path& out) const;

  const Task& task_;
  const Data& data_;
  const CompressKindOptions options_;

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

}  // namespace tack
