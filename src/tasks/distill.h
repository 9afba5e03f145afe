// Distillation without labels: a student learns a teacher's answers to texts, nothing else.
//
// A task model teaches its logits (KL at a temperature), a plain encoder its embeddings (cosine),
// or to a student of another width how alike they are (the cosines among the texts of a batch).
// Hidden states and relations may be learned besides. The student is a part of the teacher, or
// another encoder; only an encoder that teaches embeddings and nothing else may have another
// tokenizer.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tasks/task.h"

namespace tack {

struct DistillOptions {
  std::filesystem::path teacher, out;
  std::filesystem::path student;  // an encoder; empty: the teacher
  StudentShape shape;             // the part of it that learns
  InnerSettings inner;
  std::string type = "int8";
  double temperature = 2;
  double held_out = 0.05;  // share of the texts, at most 2,000: chooses the epoch
  TrainSettings training;
  bool dry_run = false;  // only student_bytes, about, and nothing is written
  int threads = 0;
  std::string command;
  std::function<void(const std::string&)> message;  // may be empty
};

// Whether every token has the same text in both.
bool same_vocabulary(const Tokenizer& a, const Tokenizer& b);

struct DistillResult {
  bool of_task = false;
  std::size_t texts = 0, held_out = 0;
  TrainingResult training;
  // On held-out texts, of the file that was written: a task's share of equal answers, an encoder's
  // mean cosine, or (`of_pairs`) the correlation of the cosines of pairs of texts.
  double agreement = 0;
  bool of_pairs = false;
  std::size_t teacher_bytes = 0, student_bytes = 0;
  double seconds = 0;
};

// Errors: kUsage when teacher and student do not fit (tokenizer), saying what is possible;
// those of training.
Result<DistillResult> distill(const std::vector<std::string>& texts, const DistillOptions& options);

}  // namespace tack
