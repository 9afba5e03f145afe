// A model that is looked into: any values of its graph, or of a graph with parts left out, for
// tokens of the user's texts. Everything is computed in f32, whatever the file's types.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "models/model.h"
#include "train/tape.h"

namespace tack {

// Pieces of texts, drawn by a fixed seed from all of them: at most `most` tokens, or all of the
// shortest choice of one. Texts of decoders are cut into pieces of at most `piece` tokens, which
// begin as texts do.
struct ProbeTokens {
  std::int64_t most = 4096, piece = 128;
};
std::vector<Tokens> probe_inputs(const Model& model, std::span<const std::string> texts,
                                 const ProbeTokens& tokens);

class Probe {
 public:
  // Loads the model's weights as f32. Errors: kUsage for no inputs.
  static Result<std::unique_ptr<Probe>> create(const Model& model, std::vector<Tokens> inputs,
                                               int threads);

  // Values of one batch: [rows, cols] of each output asked for, by their order.
  using Visit = std::function<Status(std::int64_t batch, std::span<const std::span<const float>>)>;
  // Runs a graph with the model's weights (its own, or without_layers() of it), batch by batch. The
  // results are the same for any number of threads. Errors: interruption, those of `visit`.
  // `most_tokens`: no batch begins behind so many; 0: all.
  Status run(const graph::Graph& graph, std::span<const graph::ValueId> outputs, const Visit& visit,
             std::int64_t most_tokens = 0);

  // A weight of the model's graph, to read and to change.
  std::vector<float>& weight(graph::WeightId id) {
    return weights_[static_cast<std::size_t>(id.index)];
  }
  std::int64_t tokens() const { return tokens_; }
  std::int64_t texts() const { return static_cast<std::int64_t>(inputs_.size()); }
  ThreadPool& pool() { return pool_; }

 private:
  struct Batch {
    std::vector<std::int32_t> ids, type_ids;
    std::vector<std::int64_t> starts = {0};
  };
  explicit Probe(int threads) : pool_(threads) {}
  void make_batches();

  std::vector<Tokens> inputs_;
  std::vector<std::vector<float>> weights_;  // by number
  std::vector<Batch> batches_;
  std::int64_t tokens_ = 0, longest_ = 0;
  ThreadPool pool_;
};

}  // namespace tack
