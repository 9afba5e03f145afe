// How far what a pruned model says is from what the whole one says, on the same texts.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "compress/probe.h"

namespace tack {

// Remembers the whole model's outputs, then measures graphs against them.
class Divergence {
 public:
  // Runs the model once; `probe` must outlive this.
  static Result<Divergence> create(const Model& model, Probe& probe);
  // Of a decoder: the mean KL divergence of its next-token distributions from the whole model's, in
  // nats a token. Of an encoder: the mean of 1 - cosine of its embeddings, or of a tagger's and an
  // extractor's vectors of tokens. `graph` is the model's or without_layers() of it.
  Result<double> of(const graph::Graph& graph);

 private:
  explicit Divergence(Probe& probe) : probe_(&probe) {}
  Result<double> measure(const graph::Graph& graph, bool remember);

  Probe* probe_;
  const char* output_ = "";
  std::int64_t cols_ = 0, most_tokens_ = 0;
  bool generates_ = false;
  std::vector<std::vector<float>> whole_;  // by batch: log-probabilities, or vectors
};

// On how many tokens it is measured at most: outputs are remembered.
std::int64_t divergence_tokens(const Model& model);

}  // namespace tack
