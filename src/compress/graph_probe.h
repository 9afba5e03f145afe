// A model that is looked into: any values of its graph, or of a graph with parts left out, for
// chunks of tokens. Everything is computed in f32, whatever the file's types.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "models/model.h"
#include "train/tape.h"

namespace tack {

class GraphProbe {
 public:
  // Another tensor in place of a weight's, or null: its own.
  using Replace = std::function<const TensorView*(std::string_view weight)>;

  // Loads the model's weights as f32. `threads` 0: all usable cores. `replace` may be empty.
  static Result<std::unique_ptr<GraphProbe>> create(const Model& model, int threads,
                                                    const Replace& replace = {});

  // Values of the next `chunks`: [rows, cols] of each output asked for, by their order.
  using Visit =
      std::function<Status(std::size_t chunks, std::span<const std::span<const float>> values)>;
  // Runs a graph with the model's weights (its own, or without_layers() of it), batch by batch. The
  // results are the same for any number of threads. `most_tokens`: no batch begins behind so many;
  // 0: all. Errors: those of `visit`, which may end it.
  Status run(const graph::Graph& graph, std::span<const graph::ValueId> outputs,
             std::span<const std::vector<TokenId>> chunks, const Visit& visit,
             std::int64_t most_tokens = 0);

  // A weight of the model's graph, to read and to change.
  std::vector<float>& weight(graph::WeightId id) {
    return weights_[static_cast<std::size_t>(id.index)];
  }
  ThreadPool& pool() { return pool_; }

 private:
  explicit GraphProbe(int threads) : pool_(threads) {}

  std::vector<std::vector<float>> weights_;  // by number
  ThreadPool pool_;
};

// A batch has so many tokens at most; a longer chunk is run alone.
constexpr std::int64_t kProbeBatch = 512;
// How many of `chunks`, from the first on, are run together.
std::size_t chunks_at_once(std::span<const std::vector<TokenId>> chunks);

}  // namespace tack
