#include "graph/weights.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/cpu.h"
#include "base/mapped_file.h"
#include "kernels/kernels.h"
#include "tensor/convert.h"

namespace tack::graph {
namespace {

// Rows handed to the packer at once: int8_pack wants row offsets that are multiples of 64.
constexpr std::int64_t kPackRows = 64;
constexpr std::int64_t kQ8Block = 32, kQ8BlockBytes = 34;

// Rounds a row to s8 and returns its scale. Written so that the compiler makes SIMD of it, which
// lrint and a serial maximum prevent: loading a model is mostly this loop.
float quantize(const float* row, std::int64_t cols, std::int8_t* out) {
  constexpr std::int64_t kLanes = 16;
  std::array<float, kLanes> lanes{};
  std::int64_t i = 0;
  for (; i + kLanes <= cols; i += kLanes)
    for (std::int64_t l = 0; l < kLanes; ++l) {
      const float x = std::fabs(row[i + l]);
      auto& lane = lanes[static_cast<std::size_t>(l)];
      lane = x > lane ? x : lane;
    }
  float largest = *std::max_element(lanes.begin(), lanes.end());
  for (; i < cols; ++i) largest = std::max(largest, std::fabs(row[i]));
  const float inverse = largest > 0 ? 127.0F / largest : 0.0F;
  // Adding 1.5 * 2^23 leaves the nearest integer (ties to even) in the low bits.
  constexpr float kRound = 12582912.0F;
  for (i = 0; i < cols; ++i)
    out[i] =
        static_cast<std::int8_t>(static_cast<std::int32_t>((row[i] * inverse + kRound) - kRound));
  return largest / 127.0F;
}

// One row as s8 with one scale. A Q8_0 row whose blocks share a scale is copied as it is: what the
// file says is what is computed.
Status load_int8_row(const TensorView& view, std::int64_t row, std::span<float> scratch,
                     std::span<const float> smoothing, std::int8_t* out, float* scale) {
  const auto bytes = view.row(row);
  const std::int64_t cols = view.cols();
  if (view.dtype == DType::kQ8_0 && smoothing.empty()) {
    if (const float shared = shared_q8_0_scale(bytes); shared >= 0) {
      for (std::int64_t block = 0; block < cols / kQ8Block; ++block)
        std::memcpy(out + block * kQ8Block, bytes.data() + block * kQ8BlockBytes + 2, kQ8Block);
      *scale = shared;
      // -128 is legal in Q8_0 but outside the kernels' symmetric range.
      std::replace(out, out + cols, std::int8_t{-128}, std::int8_t{-127});
      return {};
    }
  }
  TACK_RETURN_IF_ERROR(to_f32(view.dtype, bytes, scratch));
  for (std::size_t i = 0; i < smoothing.size(); ++i) scratch[i] *= smoothing[i];
  *scale = quantize(scratch.data(), cols, out);
  return {};
}

Status pack_int8(std::span<const Weight* const> weights, const WeightSource& source,
                 std::span<const float> smoothing, PackedLinear& packed) {
  const auto& k = kernels::kernels();
  packed.weights = AlignedBuffer(k.int8_packed_bytes(packed.out, packed.in));
  packed.scale.resize(static_cast<std::size_t>(packed.out));
  std::vector<std::int8_t> rows(static_cast<std::size_t>(kPackRows * packed.in));
  std::vector<float> scratch(static_cast<std::size_t>(packed.in));
  std::int64_t row = 0, filled = 0;
  const auto flush = [&] {
    k.int8_pack(rows.data(), row - filled, filled, packed.out, packed.in, packed.weights.data());
    filled = 0;
  };
  for (const Weight* weight : weights) {
    const TensorView& view = source(*weight);
    for (std::int64_t r = 0; r < view.rows(); ++r) {
      TACK_RETURN_IF_ERROR(load_int8_row(view, r, scratch, smoothing,
                                         rows.data() + filled * packed.in,
                                         &packed.scale[static_cast<std::size_t>(row)]));
      ++row;
      if (++filled == kPackRows) flush();
    }
  }
  if (filled > 0) flush();
  return {};
}

Status pack_f32(std::span<const Weight* const> weights, const WeightSource& source,
                PackedLinear& packed) {
  const auto cols = static_cast<std::size_t>(packed.in);
  packed.weights = AlignedBuffer(static_cast<std::size_t>(packed.out) * cols * sizeof(float));
  float* out = packed.weights.as<float>();
  for (const Weight* weight : weights) {
    const TensorView& view = source(*weight);
    for (std::int64_t r = 0; r < view.rows(); ++r, out += cols)
      TACK_RETURN_IF_ERROR(to_f32(view.dtype, view.row(r), {out, cols}));
  }
  return {};
}

Status pack_bf16(std::span<const Weight* const> weights, const WeightSource& source,
                 PackedLinear& packed) {
  const auto cols = static_cast<std::size_t>(packed.in);
  packed.weights = AlignedBuffer(static_cast<std::size_t>(packed.out) * cols * 2);
  std::byte* out = packed.weights.data();
  std::vector<float> scratch(cols);
  for (const Weight* weight : weights) {
    const TensorView& view = source(*weight);
    for (std::int64_t r = 0; r < view.rows(); ++r, out += cols * 2) {
      if (view.dtype == DType::kBF16) {
        std::memcpy(out, view.row(r).data(), cols * 2);
      } else {
        TACK_RETURN_IF_ERROR(to_f32(view.dtype, view.row(r), scratch));
        TACK_RETURN_IF_ERROR(from_f32(DType::kBF16, scratch, {out, cols * 2}));
      }
    }
  }
  return {};
}

}  // namespace

std::string_view linear_type_name(LinearType type) {
  switch (type) {
    case LinearType::kF32:
      return "f32";
    case LinearType::kBf16:
      return "bf16";
    case LinearType::kInt8:
      return "int8";
  }
  return "?";
}

LinearType natural_linear_type(DType dtype) {
  if (info(dtype).block_elements > 1) return LinearType::kInt8;
  if (dtype == DType::kBF16 && cpu_info().avx512_bf16 && kernels::kernels().isa == Isa::kAvx512)
    return LinearType::kBf16;
  return LinearType::kF32;
}

Result<PackedLinear> pack_linear(LinearType type, std::span<const Weight* const> weights,
                                 std::span<const Weight* const> biases, const WeightSource& source,
                                 std::span<const float> smoothing, bool release_pages) {
  PackedLinear packed;
  packed.type = type;
  packed.in = source(*weights.front()).cols();
  for (const Weight* weight : weights) {
    const TensorView& view = source(*weight);
    if (!convertible(view.dtype))
      return fail("tensor '{}': cannot compute with type {}", weight->name, info(view.dtype).name);
    packed.out += view.rows();
  }
  switch (type) {
    case LinearType::kInt8:
      TACK_RETURN_IF_ERROR(pack_int8(weights, source, smoothing, packed));
      break;
    case LinearType::kF32:
      TACK_RETURN_IF_ERROR(pack_f32(weights, source, packed));
      break;
    case LinearType::kBf16:
      TACK_RETURN_IF_ERROR(pack_bf16(weights, source, packed));
      break;
  }
  for (const Weight* bias : biases) {
    TACK_TRY(const auto values, load_vector(*bias, source));
    packed.bias.insert(packed.bias.end(), values.begin(), values.end());
  }
  if (release_pages)
    for (const Weight* weight : weights) MappedFile::release_pages(source(*weight).bytes);
  return packed;
}

Result<std::vector<float>> load_vector(const Weight& weight, const WeightSource& source) {
  const TensorView& view = source(weight);
  std::vector<float> values(static_cast<std::size_t>(element_count(view.shape)));
  if (auto status = to_f32(view.dtype, view.bytes, values); !status)
    return std::unexpected(std::move(status.error()).in("tensor '" + weight.name + "'"));
  return values;
}

}  // namespace tack::graph
