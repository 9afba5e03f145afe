// A task model at work: texts in, labels with calibrated probabilities out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/text_encoder.h"
#include "models/model.h"

namespace tack {

struct Prediction {
  std::size_t label = 0;             // the most probable one
  std::vector<float> probabilities;  // [labels], calibrated, sum 1
  bool out_of_scope = false;         // score below the model's threshold; false without one
  float score = 0;                   // how sure it is that any label fits: eval/calibration.h
  std::int64_t tokens = 0;           // that the model saw
  std::int64_t truncated = 0;        // tokens dropped because the text was too long
  // Of a multilabel model: those that count, most probable first. Probabilities do not sum to 1
  // then, and out_of_scope and score say nothing.
  std::vector<std::size_t> labels = {};
};

// What turns logits of labels into a Prediction.
struct Calibration {
  float temperature = 1;
  float threshold = 0;  // 0: none
  // Labels are independent, and count from a probability of `threshold` on.
  bool multilabel = false;

  // Errors: numbers of tack.calibration that are none.
  static Result<Calibration> of(const Model& model);
  // Errors: numbers of `json` that are none, named with `where` they stand.
  static Result<Calibration> parse(const Json& json, std::string_view where);
  // Without the counts of tokens.
  Prediction apply(std::span<const float> logits) const;
};

// One question that a model answers: some rows of output "logits".
struct TaskHead {
  std::string name;       // empty: the model answers only this one
  std::size_t first = 0;  // row of labels[0]
  std::vector<std::string> labels;
  Calibration calibration;
};

// The heads of a task model in the order of their rows: those of tack.heads (tasks/artifact.h), or
// one without a name. Errors: a tack.heads that does not fit the model's labels; numbers of a
// calibration that are none.
Result<std::vector<TaskHead>> task_heads(const Model& model);
// The number of the head `name`, which may be empty when there is only one. Errors: kUsage, naming
// the heads there are.
Result<std::size_t> find_head(const std::vector<TaskHead>& heads, std::string_view name,
                              std::string_view model);

// Used by one thread at a time, like the encoder inside it.
class TaskPredictor {
 public:
  // Answers with one head; `head` names it where the model has several. Errors: those of
  // Model::open and find_head; kUsage for a model without labels (a plain encoder).
  static Result<std::unique_ptr<TaskPredictor>> open(const std::filesystem::path& path,
                                                     const EncoderOptions& options = {},
                                                     std::string_view head = "");
  // The same for all heads, with predict_heads(); labels(), calibration() and predict() are then
  // those of the first.
  static Result<std::unique_ptr<TaskPredictor>> open_heads(const std::filesystem::path& path,
                                                           const EncoderOptions& options = {});

  // Answers with this head from here on. Errors: those of find_head.
  Status choose(std::string_view head);

  const std::vector<std::string>& labels() const { return heads_[head_].labels; }
  const std::vector<TaskHead>& heads() const { return heads_; }
  const TaskHead& head() const { return heads_[head_]; }  // the one chosen
  const Model& model() const { return encoder_->model(); }
  TextEncoder& encoder() { return *encoder_; }
  const Calibration& calibration() const { return heads_[head_].calibration; }
  bool multilabel() const { return calibration().multilabel; }

  // Results depend on batching as little as TextEncoder::run says.
  Result<std::vector<Prediction>> predict(std::span<const std::string_view> texts);
  // [texts, heads]: the answers to all questions from one pass through the encoder.
  Result<std::vector<Prediction>> predict_heads(std::span<const std::string_view> texts);

 private:
  TaskPredictor(std::unique_ptr<TextEncoder> encoder, std::vector<TaskHead> heads)
      : encoder_(std::move(encoder)), heads_(std::move(heads)) {}
  Result<std::vector<Prediction>> predict(std::span<const std::string_view> texts,
                                          std::span<const TaskHead> heads);

  std::unique_ptr<TextEncoder> encoder_;
  std::vector<TaskHead> heads_;
  std::size_t head_ = 0;
};

}  // namespace tack
