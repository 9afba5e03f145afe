// How far a changed model is from the model it was, on chunks of tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compress/calibration_text.h"
#include "compress/probe.h"

namespace tack {

// What outputs of the unchanged model were, kept to compare with: 4 bytes for each value.
class DivergenceMeter {
 public:
  // Runs the model. The tokens and the pool must outlive this.
  static Result<std::unique_ptr<DivergenceMeter>> create(std::shared_ptr<const Model> model,
                                                         const CalibrationTokens& tokens,
                                                         ThreadPool& pool);

  // The model with other tensors (ProbeOptions::replace): of logits the mean divergence (KL) of its
  // probabilities in nats, of vectors the mean of 1 - cosine.
  Result<double> measure(const std::function<const TensorView*(std::string_view)>& replace) const;
  // Another model with the same outputs; of a decoder as it computes for a user.
  Result<double> measure(std::shared_ptr<const Model> other) const;

  Probe::Output output() const { return output_; }
  std::string_view unit() const {
    return output_ == Probe::Output::kLogits ? "KL, nats a token" : "1 - cosine";
  }

 private:
  DivergenceMeter(std::shared_ptr<const Model> model, const CalibrationTokens& tokens,
                  ThreadPool& pool)
      : model_(std::move(model)), tokens_(tokens), pool_(pool) {}
  ProbeOptions options() const;
  Result<double> run(Probe& probe) const;

  const std::shared_ptr<const Model> model_;
  const CalibrationTokens& tokens_;
  ThreadPool& pool_;
  Probe::Output output_ = Probe::Output::kLogits;
  std::size_t width_ = 0;
  std::vector<float> outputs_;  // [rows, width]: log-probabilities, or vectors of length 1
};

}  // namespace tack
