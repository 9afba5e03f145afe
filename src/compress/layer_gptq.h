// GPTQ of a model's linear layers: their Hessians are measured on a text, as many at once as memory
// allows, when the first of them is wanted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compress/calibration_text.h"
#include "compress/hessian.h"
#include "compress/probe.h"
#include "models/model.h"

namespace tack {

class LayerGptq {
 public:
  // The tokens and the pool must outlive this. `memory` bytes of Hessians and their factors are
  // kept at once, but those of one layer always. `progress` as CalibrationOptions has it.
  LayerGptq(std::shared_ptr<const Model> model, const CalibrationTokens& tokens, std::size_t memory,
            std::function<void(std::int64_t done, std::int64_t total)> progress, ThreadPool& pool);

  // Whether a linear layer reads the weight, so that it has a Hessian, and the type has codes.
  bool serves(std::string_view weight, DType dtype) const;
  // The weight as `dtype`. Cheapest in the graph's order.
  Result<std::vector<std::byte>> quantize(const graph::Weight& weight, DType dtype);

 private:
  // Measures those of the inputs from that of `weight` on.
  Status measure_from(std::string_view weight);

  const std::shared_ptr<const Model> model_;
  const CalibrationTokens& tokens_;
  const std::size_t memory_;
  const std::function<void(std::int64_t done, std::int64_t total)> progress_;
  ThreadPool& pool_;
  const std::vector<SharedInput> inputs_;
  std::map<std::string, std::size_t, std::less<>> reads_;  // by weight: its input
  std::map<std::size_t, HessianFactor> factors_;           // by input
};

}  // namespace tack
