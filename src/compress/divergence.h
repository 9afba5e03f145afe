// How far what a changed model says is from what it said unchanged, on the same chunks of tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compress/calibration_text.h"
#include "compress/graph_probe.h"
#include "compress/probe.h"
#include "models/model.h"

namespace tack {

// The output of a model that is compared.
struct ComparedOutput {
  std::string_view name;  // of the graph's outputs
  graph::ValueId value;
  std::int64_t cols = 0;
  // Rows differ by the divergence (KL) of their probabilities, in nats; vectors by 1 - cosine.
  bool logits = false;

  std::string_view unit() const { return logits ? "KL, nats a token" : "1 - cosine"; }
};

// Of an encoder either what its heads say (labels or tags; without such heads the vectors), or the
// vectors they read: of tokens where a head of tags or spans stands on them, else of the text. Of a
// decoder logits either way.
enum class Compared : std::uint8_t { kAnswers, kVectors };
Result<ComparedOutput> compared_output(const Model& model, Compared what);

// Rows of an output as the unchanged model has them, to compare with: 4 bytes for each value.
class BaseOutputs {
 public:
  // Runs a model, and gives all rows [rows, cols] of the output to `visit`: as many each time, in
  // the same batches.
  using Visit = std::function<Status(std::span<const float> rows)>;
  using Run = std::function<Status(const ComparedOutput& output, const Visit& visit)>;

  // The pool must outlive this. Errors: outputs that are no numbers, interruption, those of `run`.
  static Result<BaseOutputs> create(const Model& model, Compared what, const Run& run,
                                    ThreadPool& pool);
  // The mean distance of the rows that `run` gives from those kept. Errors likewise.
  Result<double> distance(const Run& run) const;
  const ComparedOutput& output() const { return output_; }

 private:
  BaseOutputs(const ComparedOutput& output, ThreadPool& pool) : output_(output), pool_(&pool) {}

  ComparedOutput output_;
  ThreadPool* pool_;
  std::vector<std::vector<float>> batches_;  // [rows, cols]: log-probabilities, or unit vectors
};

// Of what a model answers; decoders run in the engine.
class DivergenceMeter {
 public:
  // Runs the model. The tokens and the pool must outlive this.
  static Result<std::unique_ptr<DivergenceMeter>> create(std::shared_ptr<const Model> model,
                                                         const CalibrationTokens& tokens,
                                                         ThreadPool& pool);

  // The model with other tensors (ProbeOptions::replace).
  Result<double> measure(const std::function<const TensorView*(std::string_view)>& replace) const;
  // Another model with the same outputs; of a decoder as it computes for a user.
  Result<double> measure(std::shared_ptr<const Model> other) const;

  std::string_view unit() const { return base_->output().unit(); }

 private:
  DivergenceMeter(std::shared_ptr<const Model> model, const CalibrationTokens& tokens,
                  ThreadPool& pool)
      : model_(std::move(model)), tokens_(tokens), threads_(pool.size()) {}
  BaseOutputs::Run run(std::shared_ptr<const Model> model, ProbeOptions options) const;

  const std::shared_ptr<const Model> model_;
  const CalibrationTokens& tokens_;
  const int threads_;
  std::optional<BaseOutputs> base_;
};

// Of vectors, or of a decoder's predictions: a graph with parts left out, or weights changed in the
// probe.
class GraphDivergence {
 public:
  // Runs the model's graph. Probe and tokens must outlive this.
  static Result<GraphDivergence> create(const Model& model, GraphProbe& probe,
                                        const CalibrationTokens& tokens);
  // `graph` is the model's or without_layers() of it.
  Result<double> of(const graph::Graph& graph) const;

 private:
  GraphDivergence(GraphProbe& probe, const CalibrationTokens& tokens, std::int64_t most_tokens)
      : probe_(&probe), tokens_(&tokens), most_tokens_(most_tokens) {}
  BaseOutputs::Run run(const graph::Graph& graph) const;

  GraphProbe* probe_;
  const CalibrationTokens* tokens_;
  std::int64_t most_tokens_;
  std::optional<BaseOutputs> base_;
};

// On how many tokens a GraphDivergence is measured at most: outputs are remembered.
std::int64_t divergence_tokens(const Model& model);

}  // namespace tack
