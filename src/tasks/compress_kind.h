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
#include "tasks/task.h"

namespace tack {

// How a model did on some rows.
struct Trial {
  std::vector<bool> right;  // of each row
  double quality = 0;       // the share of them
  double p50_us = 0;        // of a single text
  double texts_per_second = 0;
  Json details;      // everything that was measured; of the gate's rows only
  std::string text;  // the same for a person, lines
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
};

struct CompressKindOptions {
  std::filesystem::path original;
  TrainSettings training;
  double temperature = 2, labels = 0.3;  // TeacherSettings
  int threads = 1;
  std::function<void(const std::string&)> message;
};

// One label a text, or any number. Task and data outlive it. Errors: a model whose labels are not
// those of the rows.
Result<std::unique_ptr<CompressKind>> compress_classifier(const Task& task, const Data& data,
                                                          const CompressKindOptions& options);
// Named spans, and perhaps a label.
Result<std::unique_ptr<CompressKind>> compress_tagger(const Task& task, const Data& data,
                                                      const CompressKindOptions& options);

}  // namespace tack
