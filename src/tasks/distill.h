// Distillation without labels: a student learns a teacher's answers to texts, nothing else.
//
// A task model teaches its logits (KL at a temperature), a plain encoder its embeddings (cosine).
// The student is a number of the teacher's layers, or another encoder with the same tokenizer and
// width.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tasks/task.h"

namespace tack {

struct DistillOptions {
  std::filesystem::path teacher, out;
  std::filesystem::path student;     // an encoder; empty: layers of the teacher
  std::vector<std::int64_t> layers;  // which of them, or
  std::int64_t layer_count = 0;      // how many; 0 and none: all
  std::string type = "int8";
  double temperature = 2;
  double held_out = 0.05;  // share of the texts, at most 2,000: chooses the epoch
  TrainSettings training;
  int threads = 0;
  std::string command;
  std::function<void(const std::string&)> message;  // may be empty
};

struct DistillResult {
  bool of_task = false;
  std::size_t texts = 0, held_out = 0;
  TrainingResult training;
  // On held-out texts, of the file that was written: a task's share of equal answers, an encoder's
  // mean cosine.
  double agreement = 0;
  std::size_t teacher_bytes = 0, student_bytes = 0;
  double seconds = 0;
};

// Errors: kUsage when teacher and student do not fit (tokenizer, width), saying what is possible;
// those of training.
Result<DistillResult> distill(const std::vector<std::string>& texts, const DistillOptions& options);

}  // namespace tack
