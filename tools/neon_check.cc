// Compares the NEON kernels with the scalar ones, bit by bit; built and run under emulation by
// tools/check_neon.
#include <cstdio>
#include <cstring>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/random.h"
#include "kernels/kernels.h"

namespace tack::kernels {
namespace scalar {
extern const Kernels kKernels;
}
namespace neon {
extern const Kernels kKernels;
}
}  // namespace tack::kernels

namespace tack::kernels {
namespace {

int failures = 0;
void expect(bool ok, const char* what, long m, long n, long k) {
  if (ok) return;
  std::printf("FAIL: %s at m %ld, n %ld, k %ld\n", what, m, n, k);
  ++failures;
}

struct Int8Result {
  std::vector<std::int32_t> sums;
  std::vector<float> c, a_scale;
};

Int8Result int8(const Kernels& kernels, std::int64_t m, std::int64_t n, std::int64_t k,
                const std::vector<float>& x, const std::vector<std::int8_t>& w) {
  AlignedBuffer packed(kernels.int8_packed_bytes(n, k));
  kernels.int8_pack(w.data(), 0, n, n, k, packed.data());
  AlignedBuffer a(kernels.int8_row_bytes(k) * static_cast<std::size_t>(m));
  Int8Result out;
  out.a_scale.resize(static_cast<std::size_t>(m));
  out.sums.resize(static_cast<std::size_t>(m * n));
  out.c.resize(static_cast<std::size_t>(m * n));
  kernels.quantize_rows(x.data(), k, m, k, nullptr, a.data(), out.a_scale.data());
  const std::vector<float> scale(static_cast<std::size_t>(n), 0.01F), bias(scale);
  Int8GemmArgs args{.m = m,
                    .n = n,
                    .k = k,
                    .a = a.data(),
                    .a_scale = out.a_scale.data(),
                    .b = packed.data(),
                    .b_scale = scale.data(),
                    .bias = bias.data(),
                    .activation = Activation::kGeluErf,
                    .c = out.c.data(),
                    .ldc = n};
  kernels.int8_gemm(args);
  args.accumulators = out.sums.data();
  kernels.int8_gemm(args);
  return out;
}

void check_int8(Random& random) {
  for (const std::int64_t k : {1, 15, 64, 100, 384, 1537})
    for (const std::int64_t n : {1, 7, 8, 65})
      for (const std::int64_t m : {1, 2, 3, 5}) {
        std::vector<float> x(static_cast<std::size_t>(m * k));
        std::vector<std::int8_t> w(static_cast<std::size_t>(n * k));
        const bool extreme = random.below(2) == 0;
        for (float& v : x)
          v = extreme ? (random.below(2) == 0 ? -1.F : 1.F) : static_cast<float>(random.normal());
        for (std::int8_t& v : w)
          v = static_cast<std::int8_t>(extreme ? (random.below(2) == 0 ? -127 : 127)
                                               : static_cast<int>(random.below(255)) - 127);
        const Int8Result a = int8(scalar::kKernels, m, n, k, x, w);
        const Int8Result b = int8(neon::kKernels, m, n, k, x, w);
        expect(a.a_scale == b.a_scale, "scales of activations", m, n, k);
        expect(a.sums == b.sums, "s32 sums", m, n, k);
        expect(a.c == b.c, "results", m, n, k);
      }
}

void check_attention(Random& random) {
  for (const std::int64_t length : {1, 2, 17, 40}) {
    constexpr std::int64_t kHeads = 3, kDim = 32;
    const auto size = static_cast<std::size_t>(length * kHeads * kDim);
    std::vector<float> q(size), k(size), v(size), a(size), b(size);
    for (auto* values : {&q, &k, &v})
      for (float& x : *values) x = static_cast<float>(random.normal());
    // Twice what attention_scratch_floats says, which lives beside code this program has not.
    std::vector<float> scratch(static_cast<std::size_t>(2 * 64 * 64 + 12 * 128) * 2);
    AttentionArgs args{.length = length,
                       .q_begin = 0,
                       .q_end = length,
                       .heads = kHeads,
                       .kv_heads = kHeads,
                       .head_dim = kDim,
                       .q = q.data(),
                       .k = k.data(),
                       .v = v.data(),
                       .q_stride = kHeads * kDim,
                       .kv_stride = kHeads * kDim,
                       .out = a.data(),
                       .out_stride = kHeads * kDim,
                       .scale = 0.18F,
                       .scratch = scratch.data()};
    scalar::kKernels.attention(args);
    args.out = b.data();
    neon::kKernels.attention(args);
    expect(a == b, "attention", length, kHeads, kDim);
  }
}

}  // namespace
}  // namespace tack::kernels

int main() {
  tack::Random random(1);
  tack::kernels::check_int8(random);
  tack::kernels::check_attention(random);
  std::printf("NEON against scalar: %d failures\n", tack::kernels::failures);
  return tack::kernels::failures == 0 ? 0 : 1;
}
