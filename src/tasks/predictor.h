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
  // Without the counts of tokens.
  Prediction apply(std::span<const float> logits) const;
};

// Used by one thread at a time, like the encoder inside it.
class TaskPredictor {
 public:
  // Errors: those of Model::open; kUsage for a model without labels (a plain encoder).
  static Result<std::unique_ptr<TaskPredictor>> open(const std::filesystem::path& path,
                                                     const EncoderOptions& options = {});

  const std::vector<std::string>& labels() const { return encoder_->model().labels(); }
  const Model& model() const { return encoder_->model(); }
  TextEncoder& encoder() { return *encoder_; }
  const Calibration& calibration() const { return calibration_; }
  bool multilabel() const { return calibration_.multilabel; }

  // Results depend on batching as little as TextEncoder::run says.
  Result<std::vector<Prediction>> predict(std::span<const std::string_view> texts);

 private:
  TaskPredictor(std::unique_ptr<TextEncoder> encoder, const Calibration& calibration)
      : encoder_(std::move(encoder)), calibration_(calibration) {}

  std::unique_ptr<TextEncoder> encoder_;
  Calibration calibration_;
};

}  // namespace tack
