// Attention over one sequence of a packed batch, f32.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tack::kernels {

// out[i][h] = softmax_j(scale * q[i][h] . k[j][h / group]) v[j][h / group] for the query rows
// [q_begin, q_end) of one sequence of `length` tokens; group = heads / kv_heads.
// causal: j <= i. window > 0: i - j < window (and j - i < window when not causal).
// q, k, v, out point at row 0 of the sequence; strides in elements between tokens; heads lie next
// to each other. scratch: attention_scratch_floats(...) floats, private to the caller.
struct AttentionArgs {
  std::int64_t length = 0, q_begin = 0, q_end = 0;
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
  const float* q = nullptr;
  const float* k = nullptr;
  const float* v = nullptr;
  std::int64_t q_stride = 0, k_stride = 0, v_stride = 0;
  float* out = nullptr;
  std::int64_t out_stride = 0;
  float scale = 1.0F;
  bool causal = false;
  std::int64_t window = 0;
  float* scratch = nullptr;
};
using AttentionFn = void (*)(const AttentionArgs& args);

// Floats of scratch for sequences up to `length`; the same bound serves every ISA.
std::size_t attention_scratch_floats(std::int64_t length, std::int64_t head_dim);

}  // namespace tack::kernels
