// Weights made ready for the kernels: packed once at load, shared read-only by all workers.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "graph/graph.h"
#include "tensor/tensor_view.h"

namespace tack::graph {

// Where the tensor of a weight lives; valid as long as the model.
using WeightSource = std::function<const TensorView&(const Weight&)>;

// The arithmetic of a linear layer.
enum class LinearType : std::uint8_t { kF32, kBf16, kInt8 };
std::string_view linear_type_name(LinearType type);

// One linear layer, or several that share their input, stacked by output rows.
struct PackedLinear {
  LinearType type = LinearType::kF32;
  std::int64_t out = 0, in = 0;
  AlignedBuffer weights;  // kInt8: packed by the kernels; kF32: f32 [out, in]; kBf16: u16 [out, in]
  std::vector<float> scale;  // kInt8: [out]
  std::vector<float> bias;   // [out], or empty

  std::size_t bytes() const {
    return weights.size() + (scale.size() + bias.size()) * sizeof(float);
  }
};

// The type a tensor is computed in when nobody says otherwise: block types as int8 (exact when it
// is a Q8_0 whose rows share one scale, requantised per row when not), bf16 as bf16 where the
// processor has it, else f32.
LinearType natural_linear_type(DType dtype);

// Packs the stacked `weights` (same number of columns). A bias of {} means zero; all or none.
// `smoothing` [in]: the factors of kInt8 (PlanOptions), or empty.
// Errors name the tensor. The pages read are released when `release_pages` (mapped files).
Result<PackedLinear> pack_linear(LinearType type, std::span<const Weight* const> weights,
                                 std::span<const Weight* const> biases, const WeightSource& source,
                                 std::span<const float> smoothing, bool release_pages);

// A vector (bias, gamma) as f32.
Result<std::vector<float>> load_vector(const Weight& weight, const WeightSource& source);

}  // namespace tack::graph
