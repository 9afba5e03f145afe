// Every level that runs here against f64 arithmetic written out, and against the scalar one, bit by
// bit.

#include "kernels/kernels.h"

#include <cmath>
#include <limits>
#include <thread>
#include <vector>

#include <dlfcn.h>
#include <gtest/gtest.h>

#include "base/aligned_buffer.h"
#include "base/random.h"
#include "kernels/gemm_f32.h"
#include "kernels/test_levels.h"

namespace tack::kernels {
namespace {

std::vector<float> normals(Random& random, std::int64_t n, double scale = 1.0) {
  std::vector<float> v(static_cast<std::size_t>(n));
  for (float& x : v) x = static_cast<float>(random.normal() * scale);
  return v;
}

struct Quantized {
  AlignedBuffer rows;
  std::vector<float> scale;
};
Quantized quantize(const Kernels& k, const std::vector<float>& x, std::int64_t m, std::int64_t cols,
                   const float* column_scale = nullptr) {
  Quantized q{AlignedBuffer(k.int8_row_bytes(cols) * static_cast<std::size_t>(m)),
              std::vector<float>(static_cast<std::size_t>(m))};
  k.quantize_rows(x.data(), cols, m, cols, column_scale, q.rows.data(), q.scale.data());
  return q;
}
AlignedBuffer pack(const Kernels& k, const std::vector<std::int8_t>& b, std::int64_t n,
                   std::int64_t cols) {
  AlignedBuffer packed(k.int8_packed_bytes(n, cols));
  for (std::int64_t row = 0; row < n; row += 64)
    k.int8_pack(b.data() + row * cols, row, std::min<std::int64_t>(64, n - row), n, cols,
                packed.data());
  return packed;
}
std::vector<std::int32_t> sums(const Kernels& k, const Quantized& a, const AlignedBuffer& b,
                               std::int64_t m, std::int64_t n, std::int64_t cols) {
  std::vector<std::int32_t> out(static_cast<std::size_t>(m * n));
  k.int8_gemm(
      {.m = m, .n = n, .k = cols, .a = a.rows.data(), .b = b.data(), .accumulators = out.data()});
  return out;
}

TEST(Int8, SumsAreExactOnEveryLevelAndShape) {
  Random random(1);
  for (const Kernels* k : levels())
    for (std::int64_t m : {1, 2, 3, 5, 6, 7, 13})
      for (std::int64_t n : {1, 15, 16, 64, 65, 130})
        for (std::int64_t cols : {1, 3, 31, 64, 100, 384}) {
          // Rows that contain 127 quantise to themselves (scale 1).
          std::vector<float> x(static_cast<std::size_t>(m * cols));
          for (float& v : x) v = static_cast<float>(static_cast<int>(random.below(255)) - 127);
          for (std::int64_t i = 0; i < m; ++i) x[static_cast<std::size_t>(i * cols)] = 127.0F;
          std::vector<std::int8_t> b(static_cast<std::size_t>(n * cols));
          for (auto& v : b) v = static_cast<std::int8_t>(static_cast<int>(random.below(255)) - 127);
          const auto got = sums(*k, quantize(*k, x, m, cols), pack(*k, b, n, cols), m, n, cols);
          for (std::int64_t i = 0; i < m; ++i)
            for (std::int64_t j = 0; j < n; ++j) {
              std::int64_t want = 0;
              for (std::int64_t c = 0; c < cols; ++c)
                want += static_cast<std::int64_t>(x[static_cast<std::size_t>(i * cols + c)]) *
                        b[static_cast<std::size_t>(j * cols + c)];
              ASSERT_EQ(got[static_cast<std::size_t>(i * n + j)], want)
                  << isa_name(k->isa) << " m " << m << " n " << n << " k " << cols;
            }
        }
}

TEST(Int8, SumsAreExactAtTheExtremes) {
  // 131072 products of 127 x 127 of one sign: the largest sum the contract allows.
  const std::int64_t cols = 131072, m = 2, n = 2;
  std::vector<float> x(static_cast<std::size_t>(m * cols), 1.0F);
  for (std::int64_t c = 0; c < cols; ++c) x[static_cast<std::size_t>(cols + c)] = -1.0F;
  std::vector<std::int8_t> b(static_cast<std::size_t>(n * cols), 127);
  for (std::int64_t c = 0; c < cols; ++c) b[static_cast<std::size_t>(cols + c)] = -127;
  constexpr std::int32_t kMost = 131072 * 127 * 127;
  for (const Kernels* k : levels())
    EXPECT_EQ(sums(*k, quantize(*k, x, m, cols), pack(*k, b, n, cols), m, n, cols),
              (std::vector<std::int32_t>{kMost, -kMost, -kMost, kMost}))
        << isa_name(k->isa);
}

TEST(Int8, QuantisesToTheSameBitsOnEveryLevel) {
  Random random(2);
  for (std::int64_t cols : {1, 5, 16, 77, 384}) {
    const std::int64_t m = 4;
    auto x = normals(random, m * cols, 3.0);
    x[0] = 0.0F;
    for (std::int64_t c = 0; c < cols; ++c) x[static_cast<std::size_t>(cols + c)] = 0.0F;
    x[static_cast<std::size_t>(2 * cols)] = 1e30F;
    const auto scale = normals(random, cols);
    const std::int64_t n = 64;
    std::vector<std::int8_t> identity(static_cast<std::size_t>(n * cols), 0);
    for (std::int64_t j = 0; j < std::min(n, cols); ++j)
      identity[static_cast<std::size_t>(j * cols + j)] = 1;
    const float* const choices[] = {nullptr, scale.data()};
    for (const float* column_scale : choices) {
      const Kernels& reference = *levels().front();
      const auto want = quantize(reference, x, m, cols, column_scale);
      const auto values = sums(reference, want, pack(reference, identity, n, cols), m, n, cols);
      for (const Kernels* k : levels()) {
        const auto got = quantize(*k, x, m, cols, column_scale);
        EXPECT_EQ(got.scale, want.scale) << isa_name(k->isa);
        EXPECT_EQ(sums(*k, got, pack(*k, identity, n, cols), m, n, cols), values)
            << isa_name(k->isa) << " k " << cols;
      }
    }
  }
}

TEST(Int8, NotFiniteShowsInTheScale) {
  for (const Kernels* k : levels())
    for (float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      std::vector<float> x(40, 1.0F);
      x[33] = bad;
      EXPECT_TRUE(std::isnan(quantize(*k, x, 1, 40).scale[0])) << isa_name(k->isa);
    }
}

TEST(Int8, FusesScaleBiasActivationAndResidual) {
  Random random(3);
  const std::int64_t m = 7, n = 70, cols = 50, ldc = 80;
  const auto x = normals(random, m * cols), bias = normals(random, n);
  auto b_scale = normals(random, n);
  for (float& s : b_scale) s = std::fabs(s) / 100.0F;
  std::vector<std::int8_t> b(static_cast<std::size_t>(n * cols));
  for (auto& v : b) v = static_cast<std::int8_t>(static_cast<int>(random.below(255)) - 127);
  for (const Kernels* k : levels()) {
    const auto a = quantize(*k, x, m, cols);
    const auto packed = pack(*k, b, n, cols);
    const auto raw = sums(*k, a, packed, m, n, cols);
    auto c = normals(random, m * ldc);
    const auto residual = c;
    k->int8_gemm({.m = m,
                  .n = n,
                  .k = cols,
                  .a = a.rows.data(),
                  .a_scale = a.scale.data(),
                  .b = packed.data(),
                  .b_scale = b_scale.data(),
                  .bias = bias.data(),
                  .activation = Activation::kGeluErf,
                  .residual = c.data(),
                  .c = c.data(),
                  .ldc = ldc});
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < ldc; ++j) {
        const auto at = static_cast<std::size_t>(i * ldc + j);
        if (j >= n) {
          EXPECT_EQ(c[at], residual[at]) << "columns beyond n are not ours";
          continue;
        }
        const auto ju = static_cast<std::size_t>(j);
        const double y = static_cast<double>(raw[static_cast<std::size_t>(i * n + j)]) *
                             a.scale[static_cast<std::size_t>(i)] * b_scale[ju] +
                         bias[ju];
        const double want = residual[at] + 0.5 * y * (1 + std::erf(y / std::sqrt(2.0)));
        EXPECT_NEAR(c[at], want, 2e-6 * std::max(1.0, std::fabs(want))) << isa_name(k->isa);
      }
  }
}

double activation_f64(Activation f, double x) {
  switch (f) {
    case Activation::kGeluErf:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kRelu:
      return std::max(0.0, x);
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kNone:
      break;
  }
  return x;
}

TEST(Activate, FollowsTheFormulas) {
  std::vector<float> x;
  for (float v = -12.0F; v <= 12.0F; v += 0.00137F) x.push_back(v);
  x.insert(x.end(), {-80.0F, 80.0F, -1e10F, 1e10F, 0.0F, -0.0F, 1e-30F});
  for (const Kernels* k : levels())
    for (Activation f : {Activation::kNone, Activation::kGeluErf, Activation::kGeluTanh,
                         Activation::kRelu, Activation::kSilu, Activation::kTanh}) {
      std::vector<float> y(x.size());
      k->activate(f, x.data(), y.data(), static_cast<std::int64_t>(x.size()));
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double want = activation_f64(f, x[i]);
        ASSERT_NEAR(y[i], want, 3e-7 * std::max(1.0, std::fabs(want)))
            << isa_name(k->isa) << " " << activation_name(f) << " of " << x[i];
      }
    }
}

TEST(Activate, KeepsNaN) {
  for (const Kernels* k : levels()) {
    float x[3] = {1.0F, std::numeric_limits<float>::quiet_NaN(), 2.0F};
    k->activate(Activation::kGeluErf, x, x, 3);
    EXPECT_TRUE(std::isnan(x[1])) << isa_name(k->isa);
    EXPECT_FALSE(std::isnan(x[0]));
  }
}

TEST(LayerNorm, FollowsTheFormula) {
  Random random(4);
  for (const Kernels* k : levels())
    for (std::int64_t cols : {1, 7, 16, 33, 384}) {
      const auto x = normals(random, 3 * cols, 5.0), gamma = normals(random, cols),
                 beta = normals(random, cols);
      std::vector<float> y(x.size());
      k->layer_norm(x.data(), cols, 3, cols, gamma.data(), beta.data(), 1e-5F, y.data(), cols);
      for (std::int64_t r = 0; r < 3; ++r) {
        double mean = 0, variance = 0;
        for (std::int64_t c = 0; c < cols; ++c) mean += x[static_cast<std::size_t>(r * cols + c)];
        mean /= static_cast<double>(cols);
        for (std::int64_t c = 0; c < cols; ++c)
          variance += std::pow(x[static_cast<std::size_t>(r * cols + c)] - mean, 2);
        variance /= static_cast<double>(cols);
        for (std::int64_t c = 0; c < cols; ++c) {
          const auto cu = static_cast<std::size_t>(c);
          const double want = (x[static_cast<std::size_t>(r * cols + c)] - mean) /
                                  std::sqrt(variance + 1e-5) * gamma[cu] +
                              beta[cu];
          EXPECT_NEAR(y[static_cast<std::size_t>(r * cols + c)], want, 3e-5) << isa_name(k->isa);
        }
      }
    }
}

TEST(L2Normalize, GivesUnitRowsAndKeepsZeros) {
  for (const Kernels* k : levels()) {
    std::vector<float> x = {3.0F, 0.0F, 4.0F, 0.0F, 0.0F, 0.0F};
    k->l2_normalize(x.data(), 2, 3, 1e-12F, x.data());
    EXPECT_NEAR(x[0], 0.6F, 1e-6F);
    EXPECT_NEAR(x[2], 0.8F, 1e-6F);
    EXPECT_EQ(x[3], 0.0F);
  }
}

struct AttentionCase {
  std::int64_t length, heads, kv_heads, dim, window;
  bool causal;
};

TEST(Attention, FollowsTheDefinition) {
  Random random(5);
  for (const Kernels* k : levels())
    for (const AttentionCase& c :
         {AttentionCase{1, 2, 2, 32, 0, false}, AttentionCase{13, 3, 3, 32, 0, false},
          AttentionCase{70, 2, 2, 64, 0, false}, AttentionCase{21, 4, 2, 20, 0, true},
          AttentionCase{40, 2, 1, 7, 5, true}, AttentionCase{33, 2, 2, 16, 4, false}}) {
      const std::int64_t q_stride = c.heads * c.dim + 3, k_stride = c.kv_heads * c.dim + 5,
                         v_stride = 2 * c.kv_heads * c.dim;
      const auto q = normals(random, c.length * q_stride),
                 kk = normals(random, c.length * k_stride),
                 v = normals(random, c.length * v_stride);
      std::vector<float> out(static_cast<std::size_t>(c.length * q_stride), -7.0F);
      AlignedBuffer scratch(attention_scratch_floats(c.length, c.dim) * sizeof(float));
      AttentionArgs args{.length = c.length,
                         .q_begin = 0,
                         .q_end = c.length,
                         .heads = c.heads,
                         .kv_heads = c.kv_heads,
                         .head_dim = c.dim,
                         .q = q.data(),
                         .k = kk.data(),
                         .v = v.data(),
                         .q_stride = q_stride,
                         .k_stride = k_stride,
                         .v_stride = v_stride,
                         .out = out.data(),
                         .out_stride = q_stride,
                         .scale = 0.3F,
                         .causal = c.causal,
                         .window = c.window,
                         .scratch = scratch.as<float>()};
      // In two calls, as tiles do.
      args.q_end = c.length / 2;
      k->attention(args);
      args.q_begin = args.q_end;
      args.q_end = c.length;
      k->attention(args);
      for (std::int64_t i = 0; i < c.length; ++i)
        for (std::int64_t h = 0; h < c.heads; ++h) {
          const std::int64_t g = h / (c.heads / c.kv_heads);
          std::vector<double> p(static_cast<std::size_t>(c.length), 0.0);
          double sum = 0;
          for (std::int64_t j = 0; j < c.length; ++j) {
            if (c.causal && j > i) continue;
            if (c.window > 0 && std::abs(i - j) >= c.window) continue;
            double dot = 0;
            for (std::int64_t d = 0; d < c.dim; ++d)
              dot +=
                  static_cast<double>(q[static_cast<std::size_t>(i * q_stride + h * c.dim + d)]) *
                  kk[static_cast<std::size_t>(j * k_stride + g * c.dim + d)];
            sum += p[static_cast<std::size_t>(j)] = std::exp(0.3 * dot);
          }
          for (std::int64_t d = 0; d < c.dim; ++d) {
            double want = 0;
            for (std::int64_t j = 0; j < c.length; ++j)
              want += p[static_cast<std::size_t>(j)] / sum *
                      v[static_cast<std::size_t>(j * v_stride + g * c.dim + d)];
            ASSERT_NEAR(out[static_cast<std::size_t>(i * q_stride + h * c.dim + d)], want, 2e-5)
                << isa_name(k->isa) << " length " << c.length << " dim " << c.dim;
          }
        }
      EXPECT_EQ(out[static_cast<std::size_t>(c.heads * c.dim)], -7.0F) << "wrote past the heads";
    }
}

// What makes a model's answers the same on every processor.
TEST(Levels, GiveTheSameBits) {
  Random random(11);
  const Kernels& scalar = *kernels_for(Isa::kScalar);
  for (const Kernels* level : levels()) {
    for (const std::int64_t cols : {1, 3, 8, 31, 32, 33, 100, 384}) {
      const std::int64_t rows = 3;
      const auto x = normals(random, rows * cols, 2.0), gamma = normals(random, cols),
                 beta = normals(random, cols);
      std::vector<float> want(x.size()), got(x.size());
      scalar.layer_norm(x.data(), cols, rows, cols, gamma.data(), beta.data(), 1e-12F, want.data(),
                        cols);
      level->layer_norm(x.data(), cols, rows, cols, gamma.data(), beta.data(), 1e-12F, got.data(),
                        cols);
      EXPECT_EQ(got, want) << "layer_norm " << isa_name(level->isa) << " " << cols;
      scalar.l2_normalize(x.data(), rows, cols, 1e-12F, want.data());
      level->l2_normalize(x.data(), rows, cols, 1e-12F, got.data());
      EXPECT_EQ(got, want) << "l2_normalize " << isa_name(level->isa) << " " << cols;
      for (Activation f : {Activation::kGeluErf, Activation::kGeluTanh, Activation::kRelu,
                           Activation::kSilu, Activation::kTanh}) {
        scalar.activate(f, x.data(), want.data(), rows * cols);
        level->activate(f, x.data(), got.data(), rows * cols);
        EXPECT_EQ(got, want) << activation_name(f) << " " << isa_name(level->isa) << " " << cols;
      }
    }
    for (const std::int64_t length : {1, 2, 15, 16, 17, 50}) {
      const std::int64_t heads = 2, dim = 24, stride = heads * dim;
      const auto q = normals(random, length * stride), k = normals(random, length * stride),
                 v = normals(random, length * stride);
      std::vector<float> want(q.size()), got(q.size()),
          scratch(attention_scratch_floats(length, dim));
      AttentionArgs args{.length = length,
                         .q_begin = 0,
                         .q_end = length,
                         .heads = heads,
                         .kv_heads = heads,
                         .head_dim = dim,
                         .q = q.data(),
                         .k = k.data(),
                         .v = v.data(),
                         .q_stride = stride,
                         .k_stride = stride,
                         .v_stride = stride,
                         .out = want.data(),
                         .out_stride = stride,
                         .scale = 0.2F,
                         .scratch = scratch.data()};
      scalar.attention(args);
      args.out = got.data();
      level->attention(args);
      EXPECT_EQ(got, want) << "attention " << isa_name(level->isa) << " " << length;
    }
    for (const std::int64_t m : {1, 4, 7}) {
      const std::int64_t n = 70, cols = 100;
      const auto x = normals(random, m * cols), bias = normals(random, n),
                 residual = normals(random, m * n);
      std::vector<std::int8_t> w(static_cast<std::size_t>(n * cols));
      for (std::int8_t& value : w)
        value = static_cast<std::int8_t>(static_cast<int>(random.below(255)) - 127);
      std::vector<float> b_scale(static_cast<std::size_t>(n), 0.013F);
      const auto run = [&](const Kernels& kernels) {
        const auto a = quantize(kernels, x, m, cols);
        const auto b = pack(kernels, w, n, cols);
        std::vector<float> c(static_cast<std::size_t>(m * n));
        kernels.int8_gemm({.m = m,
                           .n = n,
                           .k = cols,
                           .a = a.rows.data(),
                           .a_scale = a.scale.data(),
                           .b = b.data(),
                           .b_scale = b_scale.data(),
                           .bias = bias.data(),
                           .activation = Activation::kGeluErf,
                           .residual = residual.data(),
                           .c = c.data(),
                           .ldc = n});
        return c;
      };
      EXPECT_EQ(run(*level), run(scalar)) << "int8_gemm " << isa_name(level->isa) << " " << m;
    }
  }
}

TEST(DenseGemm, F32AndBf16FollowTheFormula) {
  Random random(6);
  for (std::int64_t m : {1, 5, 17}) {
    const std::int64_t n = 33, k = 64;
    const auto a = normals(random, m * k), b = normals(random, n * k), bias = normals(random, n);
    auto c = normals(random, m * n);
    const auto residual = c;
    std::vector<std::uint16_t> b16(b.size());
    for (std::size_t i = 0; i < b.size(); ++i)
      b16[i] = static_cast<std::uint16_t>(__builtin_bit_cast(std::uint32_t, b[i]) >> 16);
    Bf16GemmArgs args;
    args.m = m, args.n = n, args.k = k, args.a = a.data(), args.lda = k, args.b = b.data();
    args.bias = bias.data(), args.activation = Activation::kRelu, args.residual = c.data();
    args.c = c.data(), args.ldc = n, args.b16 = b16.data();
    const auto want = [&](std::int64_t i, std::int64_t j) {
      double sum = bias[static_cast<std::size_t>(j)];
      for (std::int64_t e = 0; e < k; ++e)
        sum += static_cast<double>(a[static_cast<std::size_t>(i * k + e)]) *
               b[static_cast<std::size_t>(j * k + e)];
      return residual[static_cast<std::size_t>(i * n + j)] + std::max(0.0, sum);
    };
    gemm_f32(args);
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < n; ++j)
        EXPECT_NEAR(c[static_cast<std::size_t>(i * n + j)], want(i, j), 1e-4);
    c = residual;
    gemm_bf16(args);
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < n; ++j)
        EXPECT_NEAR(c[static_cast<std::size_t>(i * n + j)], want(i, j), 0.4);
  }
}

// However many threads the BLAS library's runtime would use, which may divide sums otherwise.
TEST(DenseGemm, EveryThreadGivesTheSameBits) {
  using SetThreads = void (*)(int);
  auto* const set = reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  if (set == nullptr) GTEST_SKIP() << "oneDNN here does not use OpenMP";
  constexpr std::int64_t kM = 512, kN = 20, kK = 384;
  Random random(7);
  const auto a = normals(random, kM * kK), b = normals(random, kN * kK);
  const auto product = [&](int threads) {
    std::vector<float> c(kM * kN);
    std::thread([&] {
      set(threads);
      DenseGemmArgs args;
      args.m = kM, args.n = kN, args.k = kK, args.a = a.data(), args.lda = kK;
      args.b = b.data(), args.c = c.data(), args.ldc = kN;
      gemm_f32(args);
    }).join();
    return c;
  };
  const auto one = product(1);
  for (int threads : {2, 3, 4, 8}) EXPECT_EQ(product(threads), one) << threads << " threads";
}

}  // namespace
}  // namespace tack::kernels
