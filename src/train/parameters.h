// The weights of a graph while it is trained: f32 values, gradients and AdamW's moments, each one
// flat array, so that the optimizer is one pass.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "graph/graph.h"
#include "train/tape.h"

namespace tack {

// What the optimizer does with one weight.
struct TrainRule {
  bool trains = true;
  bool decays = false;    // weight decay applies
  float rate_factor = 1;  // of the learning rate
};

struct AdamWOptions {
  float beta1 = 0.9F, beta2 = 0.999F, eps = 1e-8F;
  float decay = 0.01F;
  float clip = 1;  // largest norm of the gradient; 0: not clipped
};

class ParameterSet {
 public:
  struct Weight {
    std::string name;
    graph::WeightId id;
    std::int64_t offset = 0;  // in the trained or the frozen array
    std::int64_t size = 0;
    TrainRule rule;
  };

  // Loads the weights `used` by number of the graph. `load` gives a weight's values (an embedding
  // table: the rows the batches' ids will name); `rule` what happens to it. Errors: those of load.
  static Result<ParameterSet> create(
      const graph::Graph& graph, const std::vector<bool>& used,
      const std::function<Result<std::vector<float>>(const graph::Weight&)>& load,
      const std::function<TrainRule(const graph::Weight&)>& rule);

  // For Tape::create(); valid as long as this is.
  std::vector<Parameter> tape_parameters();
  const std::vector<Weight>& weights() const { return weights_; }
  // Null when there is none of that name.
  const Weight* find(std::string_view name) const;
  // The values of one weight, and the gradients of one that trains.
  std::span<const float> values(const Weight& weight) const;
  std::span<float> gradients(const Weight& weight) {
    return gradients().subspan(size(weight.offset), size(weight.size));
  }

  std::int64_t trained() const { return trained_; }
  std::int64_t frozen() const { return frozen_; }
  std::span<float> values() { return {values_.as<float>(), size(trained_)}; }
  std::span<float> gradients() { return {gradients_.as<float>(), size(trained_)}; }
  std::span<float> first_moments() { return {first_.as<float>(), size(trained_)}; }
  std::span<float> second_moments() { return {second_.as<float>(), size(trained_)}; }
  std::size_t bytes() const;

  // Norm of the gradient, sums in f64 in a fixed order.
  double gradient_norm(ThreadPool& pool) const;
  // One step of AdamW with the gradients, which are zero after it. `step` counts from 1. Returns
  // the norm before clipping; when that is not finite nothing is changed but the gradients.
  double adamw(const AdamWOptions& options, float rate, std::int64_t step, ThreadPool& pool);

 private:
  static std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }
  struct Chunk {
    std::int64_t offset, size;
    std::size_t weight;
  };
  std::vector<Weight> weights_;
  std::size_t graph_weights_ = 0;
  std::vector<Chunk> chunks_;
  std::int64_t trained_ = 0, frozen_ = 0;
  AlignedBuffer values_, gradients_, first_, second_, frozen_values_;
};

// The weights that the values `outputs` depend on, by number.
std::vector<bool> used_weights(const graph::Graph& graph, std::span<const graph::ValueId> outputs);

// The learning rate's course: up from 0 over the first `warmup` steps, then down to 0 at `total`.
enum class Schedule : std::uint8_t { kConstant, kLinear, kCosine };
double scheduled_rate(Schedule schedule, double rate, std::int64_t step, std::int64_t warmup,
                      std::int64_t total);

}  // namespace tack
