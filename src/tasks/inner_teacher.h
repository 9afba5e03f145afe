// What a student learns from inside its teacher: hidden states, layer by layer (TinyBERT: Jiao et
// al. 2019, arXiv:1909.10351), and how queries, keys and values of a layer relate (MiniLM: Wang et
// al. 2021, arXiv:2012.15828).
//
// These are too many to keep for all texts, so the teacher runs beside the student, batch by batch,
// without dropout and no further than the layers that are needed.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "tasks/frozen.h"
#include "tasks/student.h"

namespace tack {

// Of whom, what, and how the student came to be.
struct InnerLessons {
  std::shared_ptr<const Model> teacher;
  InnerSettings settings;
  // The teacher's layer that each of the student's was, and its hidden dimensions; empty: the
  // student is no part of the teacher.
  std::vector<std::int64_t> layers, dims;
};

class InnerTeacher {
 public:
  // `texts` as the student reads them, batches as in `loop`; both and the pool must outlive this.
  // Errors: kUsage when teacher and student do not fit, saying what does.
  static Result<std::unique_ptr<InnerTeacher>> create(const InnerLessons& lessons,
                                                      const Model& student,
                                                      const TrainingTexts& texts,
                                                      const TrainerOptions& loop, ThreadPool& pool);

  // What the student is to be created with; null: widths are equal, or hidden states not learned.
  const HiddenProjection* projection() const { return projection_ ? &*projection_ : nullptr; }
  // Once the student is there: finds its values.
  void attach(const TrainableModel& student);
  // Of the student, for its tape.
  const std::vector<graph::ValueId>& outputs() const { return outputs_; }

  // As Curriculum::loss(), after a forward of the student: the weighted losses of the examples.
  double loss(Tape& student, std::span<const std::size_t> examples, double scale);

 private:
  InnerTeacher(const InnerSettings& settings, ThreadPool& pool)
      : settings_(settings), pool_(pool) {}

  struct Pair {
    graph::ValueId teacher, student;
  };
  Status plan(const InnerLessons& lessons, const Model& student);
  double hidden_loss(Tape& student, const Pair& pair, double scale);

  const InnerSettings settings_;
  ThreadPool& pool_;
  std::unique_ptr<FrozenModel> teacher_;
  std::optional<HiddenProjection> projection_;
  std::vector<Pair> hidden_, relations_;  // layer by layer; q, k, v
  std::vector<graph::ValueId> outputs_;
};

// A model to train and, when there are lessons, the teacher that it is compared with inside.
struct Learner {
  std::unique_ptr<InnerTeacher> inner;  // null: none
  std::unique_ptr<TrainableModel> model;
  std::vector<graph::ValueId> outputs;  // for train()
};
// `heads` without a projection; `lessons` may be null. Errors: those of both classes.
Result<Learner> make_learner(const std::shared_ptr<const Model>& base, Heads heads,
                             const TrainingTexts& texts, const TrainableOptions& options,
                             const InnerLessons* lessons, const TrainerOptions& loop,
                             ThreadPool& pool);

}  // namespace tack
