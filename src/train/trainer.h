// The training loop: shuffled batches, AdamW on a schedule, validation, checkpoints.
//
// What is trained on, and with which losses, a Curriculum says; the loop knows token ids and
// nothing of tasks. Everything that is drawn is a function of the seed and the step, so a run that
// goes on from a checkpoint gives the same bits as one that was never stopped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "graph/batch.h"
#include "train/parameters.h"
#include "train/reparametrisation.h"
#include "train/tape.h"

namespace tack {

// What one example adds to a packed batch. Views are valid as long as the curriculum.
struct ExampleTokens {
  std::span<const std::int32_t> ids;
  std::span<const std::int32_t> type_ids;  // empty: all 0
};

// The tokens of several examples, one after another.
struct PackedExamples {
  std::vector<std::int32_t> ids, type_ids;
  std::vector<std::int64_t> starts = {0};

  void clear() {
    ids.clear();
    type_ids.clear();
    starts.assign(1, 0);
  }
  void add(const ExampleTokens& tokens) {
    ids.insert(ids.end(), tokens.ids.begin(), tokens.ids.end());
    type_ids.insert(type_ids.end(), tokens.type_ids.begin(), tokens.type_ids.end());
    type_ids.resize(ids.size(), 0);
    starts.push_back(static_cast<std::int64_t>(ids.size()));
  }
  std::int64_t tokens() const { return starts.back(); }
  graph::Batch view() const { return {.ids = ids, .type_ids = type_ids, .starts = starts}; }
};

class Curriculum {
 public:
  virtual ~Curriculum() = default;
  virtual std::size_t size() const = 0;
  virtual ExampleTokens tokens(std::size_t example) const = 0;
  // An epoch, counted from 0, begins, perhaps in the middle after a checkpoint: what examples are
  // may depend on it and on nothing that was drawn before.
  virtual void begin_epoch(std::int64_t) {}

  // Losses are of single examples or, of a joint curriculum, of batches.
  //
  // After a forward of `examples` (sequence s is examples[s]): adds scale times the gradient of
  // each example's loss to the tape's outputs, and returns scale times the sum of the losses.
  virtual double loss(Tape&, std::span<const std::size_t>, double) { return 0; }

  // A joint example is several sequences, and its loss reads those of the whole batch.
  virtual bool joint() const { return false; }
  virtual std::size_t sequences(std::size_t) const { return 1; }  // of an example
  virtual ExampleTokens sequence(std::size_t example, std::size_t) const { return tokens(example); }
  // `values` are the rows of the first output for all sequences of `examples`, in that order; adds
  // to `gradient` as loss() does.
  virtual double joint_loss(std::span<const float> /*values*/,
                            std::span<const std::size_t> /*examples*/, double /*scale*/,
                            std::span<float> /*gradient*/) {
    return 0;
  }

  // A number that is larger for better weights, from outputs of other texts that `forward` computes
  // batch by batch. Called once an epoch.
  using Forward = std::function<Status(
      std::span<const ExampleTokens> texts,
      const std::function<void(std::size_t first, std::size_t count, const Tape& tape)>& each)>;
  virtual Result<double> validate(const Forward& forward) = 0;
  virtual bool has_validation() const = 0;
  virtual std::int64_t longest_validation() const = 0;  // tokens
  // Such a number for a person.
  virtual std::string validation_text(double value) const;
};

struct TrainerOptions {
  std::int64_t epochs = 10;
  std::int64_t steps = 0;   // instead of epochs; the last may then end early
  std::int64_t batch = 32;  // examples per step
  double rate = 5e-5;
  double warmup = 0.1;  // share of the steps
  Schedule schedule = Schedule::kLinear;
  AdamWOptions adamw;
  double dropout = 0.1;
  double average = 0;  // decay per step of an exponential moving average of the weights; 0: none
  std::int64_t patience = 0;  // epochs without a better validation before stopping; 0: never stops
  std::uint64_t seed = 1;
  std::int64_t micro_tokens = 1024;  // of one forward; longer sequences go alone
  bool bf16 = true;                  // matrix products in bf16 where the processor has it
  bool recompute = false;            // less memory, more time, the same bits (TapeOptions)
  bool validates_start = false;      // what training does not make better stays as it began
  std::filesystem::path checkpoint;  // empty: none
  double checkpoint_seconds = 60;
  // What the run depends on besides; a checkpoint of another description is refused.
  std::string description;
  std::string label = "training";        // of the progress bar
  Reparametrisation* weights = nullptr;  // null: the tape computes with the trained numbers
};

struct EpochRecord {
  std::int64_t epoch = 0, step = 0;  // counted from 1
  double loss = 0;                   // mean over the epoch's examples
  double validation = 0;             // NaN without
};

struct TrainingResult {
  std::vector<EpochRecord> epochs;
  std::vector<double> losses;   // of each step
  std::int64_t best_epoch = 0;  // 0: none, or the start
  double best_validation = 0;
  double start_validation = 0;  // with validates_start
  std::int64_t steps = 0, tokens = 0;
  double seconds = 0;                // of this process, without validation
  std::vector<double> step_seconds;  // what they are the sum of
  bool resumed = false, stopped_early = false;
  std::size_t memory_bytes = 0;  // of parameters and tape
};

// Trains; afterwards `parameters` hold the weights of the best epoch (of the last one without
// validation). Removes the checkpoint when done. Errors: kInterrupted (the checkpoint is written),
// a loss that is not finite, a checkpoint that does not fit or cannot be written.
Result<TrainingResult> train(const graph::Graph& graph, std::span<const graph::ValueId> outputs,
                             ParameterSet& parameters, Curriculum& curriculum,
                             const TrainerOptions& options, ThreadPool& pool);

}  // namespace tack
