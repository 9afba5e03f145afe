// Compares the NEON kernels with the scalar ones, bit by bit; built and run under emulation by
// tools/check_neon.
#include <algorithm>
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
                       .k_stride = kHeads * kDim,
                       .v_stride = kHeads * kDim,
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

std::vector<float> normal(Random& random, std::int64_t n) {
  std::vector<float> x(static_cast<std::size_t>(n));
  for (float& v : x) v = static_cast<float>(random.normal());
  return x;
}

// Scratch is as large as any level needs; its sizes are said beside code this program has not.
AlignedBuffer scratch_for(std::int64_t m, std::int64_t k) {
  return AlignedBuffer(static_cast<std::size_t>((64 + m + 96) * (k + 1)) * sizeof(float));
}

// The whole product, or as workers do it: A packed and c multiplied in pieces.
std::vector<float> product(const Product& product, ProductArgs args, std::vector<float> c,
                           bool in_parts) {
  AlignedBuffer scratch = scratch_for(args.m, args.k), packed = scratch_for(args.m, args.k);
  args.c = c.data();
  args.scratch = scratch.data();
  if (!in_parts) {
    product.multiply(args);
    return c;
  }
  for (std::int64_t i = 0; i < args.m; i += kProductPackUnit)
    product.pack(args, i, std::min(args.m, i + kProductPackUnit), packed.data());
  for (std::int64_t i = 0; i < args.m; i += 12) {
    ProductArgs part = args;
    part.m = std::min<std::int64_t>(12, args.m - i);
    part.packed = args.a_transposed ? packed.data() : nullptr;
    part.packed_row = i;
    if (!args.a_transposed) part.a += i * args.lda;
    part.c += i * args.ldc;
    product.multiply(part);
  }
  return c;
}

void check_product(Random& random) {
  for (const std::int64_t m : {1, 6, 13, 97})
    for (const std::int64_t n : {1, 16, 37})
      for (const std::int64_t k : {1, 8, 33})
        for (int variant = 0; variant < 16; ++variant) {
          const auto a = normal(random, m * k), b = normal(random, n * k), bias = normal(random, n),
                     c = normal(random, m * n);
          ProductArgs args{.m = m, .n = n, .k = k};
          args.a = a.data();
          args.a_transposed = variant & 1;
          args.lda = args.a_transposed ? m : k;
          args.b = b.data();
          args.b_transposed = variant & 2;
          args.ldb = args.b_transposed ? k : n;
          args.bias = variant & 4 ? bias.data() : nullptr;
          args.accumulate = variant & 8;
          args.ldc = n;
          const auto expected = product(scalar::kKernels.product, args, c, false);
          expect(product(neon::kKernels.product, args, c, false) == expected, "product", m, n, k);
          expect(product(neon::kKernels.product, args, c, true) == expected, "product in parts", m,
                 n, k);
        }
}

// All backward kernels of rows on one level, their results one after the other.
std::vector<float> backward(const Backward& level, std::int64_t rows, std::int64_t cols) {
  Random random(static_cast<std::uint64_t>(cols));
  const auto x = normal(random, rows * cols), dy = normal(random, rows * cols),
             gamma = normal(random, cols);
  std::vector<float> all;
  const auto keep = [&](const std::vector<float>& v) { all.insert(all.end(), v.begin(), v.end()); };
  for (const Norm norm : {Norm::kLayer, Norm::kRms})
    for (const bool accumulate : {false, true}) {
      std::vector<float> dx = dy, stats(static_cast<std::size_t>(2 * rows)), dgamma = gamma,
                         dbeta = gamma;
      const NormBackwardArgs args{.norm = norm,
                                  .rows = rows,
                                  .cols = cols,
                                  .x = x.data(),
                                  .dy = dy.data(),
                                  .gamma = gamma.data(),
                                  .eps = 1e-6F,
                                  .dx = dx.data(),
                                  .accumulate = accumulate,
                                  .stats = stats.data()};
      level.norm(args);
      level.norm_parameters(args, 0, cols, dgamma.data(),
                            norm == Norm::kRms ? nullptr : dbeta.data());
      for (const auto* v : {&dx, &stats, &dgamma, &dbeta}) keep(*v);
    }
  std::vector<float> y = x, sums = gamma;
  level.rms_norm(x.data(), rows, cols, gamma.data(), 1e-6F, y.data());
  keep(y);
  level.column_sums(x.data(), rows, cols, 0, cols, sums.data());
  keep(sums);
  keep({static_cast<float>(level.square_sum(x.data(), rows * cols))});
  for (const auto f : {Activation::kNone, Activation::kGeluErf, Activation::kGeluTanh,
                       Activation::kRelu, Activation::kSilu, Activation::kTanh}) {
    level.activate(f, x.data(), dy.data(), y.data(), rows * cols);
    keep(y);
  }
  level.axpy(rows * cols, 0.3F, x.data(), y.data());
  level.multiply(rows * cols, y.data(), dy.data(), y.data());
  keep(y);
  level.dropout(rows * cols, x.data(), dy.data(), y.data(), 17, 0.7F, 1.25F);
  keep(y);
  return all;
}

std::vector<float> adamw(const Backward& level, std::int64_t n) {
  Random random(5);
  auto w = normal(random, n), g = normal(random, n), m = normal(random, n), v = normal(random, n);
  for (float& e : v) e *= e;
  level.adamw({.n = n,
               .w = w.data(),
               .g = g.data(),
               .m = m.data(),
               .v = v.data(),
               .rate = 0.1F,
               .decay = 0.01F,
               .correction1 = 0.1F,
               .correction2 = 0.001F,
               .grad_scale = 0.5F});
  for (const auto* part : {&g, &m, &v}) w.insert(w.end(), part->begin(), part->end());
  return w;
}

std::vector<float> attention_backward(const Backward& level, std::int64_t length) {
  constexpr std::int64_t kHeads = 4, kKv = 2, kDim = 10, kQ = kHeads * kDim, kD = kKv * kDim;
  Random random(static_cast<std::uint64_t>(length));
  const auto q = normal(random, length * kQ), k = normal(random, length * kD),
             v = normal(random, length * kD), dout = normal(random, length * kQ);
  auto dq = normal(random, length * kQ), dk = normal(random, length * kD),
       dv = normal(random, length * kD);
  AlignedBuffer scratch = scratch_for(4 * (length + 16), length + 64);
  for (std::int64_t head = 0; head < kKv; ++head)
    level.attention({.length = length,
                     .heads = kHeads,
                     .kv_heads = kKv,
                     .head_dim = kDim,
                     .kv_head = head,
                     .q = q.data(),
                     .k = k.data(),
                     .v = v.data(),
                     .dout = dout.data(),
                     .dq = dq.data(),
                     .dk = dk.data(),
                     .dv = dv.data(),
                     .q_stride = kQ,
                     .kv_stride = kD,
                     .scale = 0.3F,
                     .window = 9,
                     .accumulate_k = true,
                     .scratch = scratch.data()});
  for (const auto* part : {&dk, &dv}) dq.insert(dq.end(), part->begin(), part->end());
  return dq;
}

void check_backward() {
  const Backward &one = scalar::kKernels.backward, &other = neon::kKernels.backward;
  for (const std::int64_t cols : {1, 5, 16, 37, 64, 100, 300})
    expect(backward(one, 7, cols) == backward(other, 7, cols), "backward", 7, cols, 0);
  for (const std::int64_t n : {1, 4, 37, 1000})
    expect(adamw(one, n) == adamw(other, n), "AdamW", n, 0, 0);
  for (const std::int64_t length : {1, 5, 17, 40})
    expect(attention_backward(one, length) == attention_backward(other, length),
           "backward of attention", length, 0, 0);
}

std::vector<float> cached(const Kernels& level, KvType type, std::int64_t tokens) {
  constexpr std::int64_t kDim = 96, kGroup = 3;
  Random random(static_cast<std::uint64_t>(tokens));
  const auto q = normal(random, tokens * kGroup * kDim), k = normal(random, tokens * kDim),
             v = normal(random, tokens * kDim);
  const std::int64_t slots = (tokens + kKvTile - 1) / kKvTile;
  AlignedBuffer memory(static_cast<std::size_t>(2 * slots * kKvTile * kDim * 4));
  AlignedBuffer scratch(static_cast<std::size_t>(cached_attention_scratch_floats(kDim)) * 4);
  const KvHead head{memory.data(), slots, kDim, type};
  for (std::int64_t t = 0; t < tokens; ++t)
    level.cached_attention.store(head, t, k.data() + t * kDim, v.data() + t * kDim);
  std::vector<float> out(static_cast<std::size_t>(tokens * kGroup * kDim)),
      state(static_cast<std::size_t>(kKvQueryRows * kv_state_floats(kDim)));
  for (std::int64_t t = 0; t < tokens; ++t) {
    level.cached_attention.attend({.head = head,
                                   .group = kGroup,
                                   .tokens = 1,
                                   .position = t,
                                   .q = q.data() + t * kGroup * kDim,
                                   .q_stride = kGroup * kDim,
                                   .scale = 0.3F,
                                   .window = 70,
                                   .begin = 0,
                                   .end = tokens,
                                   .state = state.data(),
                                   .scratch = scratch.as<float>()});
    level.cached_attention.finish(1, kGroup, kDim, state.data(), out.data() + t * kGroup * kDim,
                                  kGroup * kDim);
  }
  return out;
}

void check_cached() {
  for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kQ8_0})
    for (const std::int64_t tokens : {1, 20, 200})
      expect(cached(scalar::kKernels, type, tokens) == cached(neon::kKernels, type, tokens),
             "attention over a cache", tokens, static_cast<long>(type), 0);
}

}  // namespace
}  // namespace tack::kernels

int main() {
  tack::Random random(1);
  tack::kernels::check_int8(random);
  tack::kernels::check_attention(random);
  tack::kernels::check_product(random);
  tack::kernels::check_backward();
  tack::kernels::check_cached();
  std::printf("NEON against scalar: %d failures\n", tack::kernels::failures);
  return tack::kernels::failures == 0 ? 0 : 1;
}
