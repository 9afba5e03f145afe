#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

#include "base/aligned_buffer.h"
#include "base/random.h"
#include "kernels/kernels.h"
#include "kernels/test_levels.h"

namespace tack::kernels {
namespace {

std::vector<float> normal(std::int64_t n, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> x(static_cast<std::size_t>(n));
  for (float& v : x) v = static_cast<float>(random.normal());
  return x;
}

struct Shape {
  std::int64_t m, n, k;
};

struct ProductCase {
  Shape shape;
  bool a_transposed, b_transposed, bias, accumulate;
  std::vector<float> a, b, extra, c;

  ProductCase(Shape s, int variant)
      : shape(s),
        a_transposed(variant & 1),
        b_transposed(variant & 2),
        bias(variant & 4),
        accumulate(variant & 8),
        a(normal(s.m * s.k, 1)),
        b(normal(s.n * s.k, 2)),
        extra(normal(s.n, 3)),
        c(normal(s.m * (s.n + 3), 4)) {}

  ProductArgs arguments(std::vector<float>& out) const {
    ProductArgs args{.m = shape.m, .n = shape.n, .k = shape.k};
    args.a = a.data();
    args.lda = a_transposed ? shape.m : shape.k;
    args.a_transposed = a_transposed;
    args.b = b.data();
    args.ldb = b_transposed ? shape.k : shape.n;
    args.b_transposed = b_transposed;
    args.bias = bias ? extra.data() : nullptr;
    args.accumulate = accumulate;
    args.c = out.data();
    args.ldc = shape.n + 3;
    return args;
  }

  std::vector<float> run(const Product& product) const {
    std::vector<float> out = c;
    AlignedBuffer scratch(product_scratch_bytes(shape.m, shape.k));
    ProductArgs args = arguments(out);
    args.scratch = scratch.data();
    product.multiply(args);
    return out;
  }

  // As workers do it: A packed in pieces, then rows of c multiplied in pieces.
  std::vector<float> run_in_parts(const Product& product) const {
    std::vector<float> out = c;
    AlignedBuffer scratch(product_panel_bytes(shape.k));
    AlignedBuffer packed(product_packed_bytes(product, shape.m, shape.k));
    ProductArgs args = arguments(out);
    args.scratch = scratch.data();
    for (std::int64_t i = 0; i < shape.m; i += 2 * kProductPackUnit)
      product.pack(args, i, std::min(shape.m, i + 2 * kProductPackUnit), packed.data());
    if (a_transposed || product.packs_straight) args.packed = packed.data();
    for (std::int64_t i = 0; i < shape.m; i += 18) {
      ProductArgs part = args;
      part.m = std::min<std::int64_t>(18, shape.m - i);
      part.packed_row = i;
      if (args.packed == nullptr) part.a += i * args.lda;
      part.c += i * args.ldc;
      product.multiply(part);
    }
    return out;
  }

  // Largest error against f64, in units of sqrt(k); and whether other columns were left alone.
  double error(const std::vector<float>& out) const {
    double most = 0;
    for (std::int64_t i = 0; i < shape.m; ++i)
      for (std::int64_t j = 0; j < shape.n + 3; ++j) {
        const auto at = static_cast<std::size_t>(i * (shape.n + 3) + j);
        if (j >= shape.n) {
          if (out[at] != c[at]) return 1e9;
          continue;
        }
        double sum = accumulate ? static_cast<double>(c[at])
                     : bias     ? static_cast<double>(extra[static_cast<std::size_t>(j)])
                                : 0.0;
        for (std::int64_t k = 0; k < shape.k; ++k)
          sum +=
              static_cast<double>(
                  a[static_cast<std::size_t>(a_transposed ? k * shape.m + i : i * shape.k + k)]) *
              static_cast<double>(
                  b[static_cast<std::size_t>(b_transposed ? j * shape.k + k : k * shape.n + j)]);
        most = std::max(most, std::abs(sum - static_cast<double>(out[at])));
      }
    return most / std::sqrt(static_cast<double>(shape.k));
  }
};

constexpr Shape kShapes[] = {{1, 1, 1},       {2, 77, 3},   {6, 64, 16},   {7, 65, 33},
                             {13, 16, 40},    {97, 130, 7}, {50, 33, 129}, {5, 48, 64},
                             {100, 100, 101}, {14, 14, 32}};

TEST(Product, MatchesF64AndIsTheSameOnEveryLevel) {
  for (const Shape& shape : kShapes)
    for (int variant = 0; variant < 16; ++variant) {
      const ProductCase product(shape, variant);
      const auto first = product.run(levels().front()->product);
      EXPECT_LT(product.error(first), 1e-5) << shape.m << ' ' << shape.n << ' ' << shape.k;
      for (const Kernels* level : levels()) {
        EXPECT_EQ(product.run(level->product), first) << isa_name(level->isa) << ' ' << variant;
        EXPECT_EQ(product.run_in_parts(level->product), first)
            << isa_name(level->isa) << ' ' << variant;
      }
    }
}

TEST(Product, Bf16IsWithinItsRounding) {
  const Product* const bf16 = bf16_product();
  if (bf16 == nullptr) GTEST_SKIP() << "no bf16 on this processor or level";
  for (const Shape& shape : kShapes)
    for (int variant = 0; variant < 16; ++variant) {
      const ProductCase product(shape, variant);
      EXPECT_LT(product.error(product.run(*bf16)), 0.03)
          << shape.m << ' ' << shape.n << ' ' << variant;
      EXPECT_EQ(product.run_in_parts(*bf16), product.run(*bf16)) << shape.m << ' ' << variant;
      // Values that bf16 holds exactly give exact products.
      ProductCase exact = product;
      for (float& x : exact.a) x = std::round(x);
      for (float& x : exact.b) x = std::round(x);
      EXPECT_LT(exact.error(exact.run(*bf16)), 1e-5) << shape.m << ' ' << shape.n << ' ' << variant;
    }
}

TEST(Backward, ActivationsMatchDifferencesInF64) {
  const auto f = [](Activation a, double x) {
    switch (a) {
      case Activation::kGeluErf:
        return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
      case Activation::kGeluTanh:
        return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
      case Activation::kSilu:
        return x / (1 + std::exp(-x));
      case Activation::kTanh:
        return std::tanh(x);
      case Activation::kRelu:
        return std::max(x, 0.0);
      case Activation::kNone:
        break;
    }
    return x;
  };
  std::vector<float> x, dy;
  for (double v = -12; v < 12; v += 0.0371) x.push_back(static_cast<float>(v));
  dy.assign(x.size(), 1.5F);
  for (const Kernels* level : levels())
    for (auto a : {Activation::kNone, Activation::kGeluErf, Activation::kGeluTanh,
                   Activation::kRelu, Activation::kSilu, Activation::kTanh}) {
      std::vector<float> dx(x.size());
      level->backward.activate(a, x.data(), dy.data(), dx.data(),
                               static_cast<std::int64_t>(x.size()));
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double at = static_cast<double>(x[i]), h = 1e-5;
        EXPECT_NEAR(static_cast<double>(dx[i]), 1.5 * (f(a, at + h) - f(a, at - h)) / (2 * h), 4e-6)
            << activation_name(a) << " at " << x[i];
      }
    }
}

// The definitions stand in train/tape_test.cc, by finite differences; here: all levels agree.
TEST(Backward, LevelsGiveTheSameBits) {
  for (const std::int64_t cols : {1, 5, 16, 37, 64, 100, 300}) {
    const std::int64_t rows = 7;
    const auto x = normal(rows * cols, 1), dy = normal(rows * cols, 2), gamma = normal(cols, 3);
    std::vector<std::vector<float>> results;
    for (const Kernels* level : levels()) {
      std::vector<float> all;
      const auto keep = [&](const std::vector<float>& v) {
        all.insert(all.end(), v.begin(), v.end());
      };
      for (Norm norm : {Norm::kLayer, Norm::kRms})
        for (bool accumulate : {false, true}) {
          std::vector<float> dx = normal(rows * cols, 4), stats(14), dgamma(x.size()),
                             dbeta(x.size());
          NormBackwardArgs args{.norm = norm, .rows = rows, .cols = cols};
          args.x = x.data();
          args.dy = dy.data();
          args.gamma = gamma.data();
          args.eps = 1e-6F;
          args.dx = dx.data();
          args.accumulate = accumulate;
          args.stats = stats.data();
          level->backward.norm(args);
          level->backward.norm_parameters(args, 0, cols / 2, dgamma.data(), dbeta.data());
          level->backward.norm_parameters(args, cols / 2, cols, dgamma.data(), dbeta.data());
          keep(dx);
          keep(stats);
          keep(dgamma);
          keep(dbeta);
        }
      std::vector<float> y(x.size()), sums(static_cast<std::size_t>(cols), 1.0F);
      level->backward.rms_norm(x.data(), rows, cols, gamma.data(), 1e-6F, y.data());
      keep(y);
      level->backward.column_sums(x.data(), rows, cols, 0, cols, sums.data());
      keep(sums);
      const double squares = level->backward.square_sum(x.data(), rows * cols);
      double expected = 0;
      for (float e : x) expected += static_cast<double>(e) * static_cast<double>(e);
      EXPECT_NEAR(squares, expected, 1e-12 * expected);
      keep({static_cast<float>(squares), static_cast<float>(squares - expected)});
      level->backward.axpy(rows * cols, 0.3F, x.data(), y.data());
      level->backward.multiply(rows * cols, y.data(), dy.data(), y.data());
      keep(y);
      std::vector<float> dropped = x;
      level->backward.dropout(rows * cols, x.data(), dy.data(), dropped.data(), 17, 0.7F, 1.25F);
      keep(dropped);
      level->backward.dropout(rows * cols, x.data(), nullptr, dropped.data(), 18, 0.7F, 1.25F);
      keep(dropped);
      std::vector<float> w = x, g = dy, m = normal(rows * cols, 5), v = normal(rows * cols, 6);
      for (float& e : v) e *= e;
      AdamWArgs adam{.n = rows * cols, .w = w.data(), .g = g.data(), .m = m.data(), .v = v.data()};
      adam.rate = 0.1F;
      adam.decay = 0.01F;
      adam.correction1 = 0.1F;
      adam.correction2 = 0.001F;
      adam.grad_scale = 0.5F;
      level->backward.adamw(adam);
      keep(w);
      keep(m);
      keep(v);
      EXPECT_EQ(g, std::vector<float>(g.size(), 0.0F));
      results.push_back(all);
    }
    for (const auto& result : results) EXPECT_EQ(result, results.front()) << cols;
  }
}

TEST(Backward, AttentionGivesTheSameBitsOnEveryLevel) {
  for (const std::int64_t length : {1, 5, 17, 40}) {
    const std::int64_t heads = 4, kv = 2, dim = 10, d = heads * dim, kd = kv * dim;
    const auto q = normal(length * d, 1), k = normal(length * kd, 2), v = normal(length * kd, 3),
               dout = normal(length * d, 4);
    std::vector<std::vector<float>> results;
    for (const Kernels* level : levels()) {
      std::vector<float> dq = normal(length * d, 5), dk = normal(length * kd, 6),
                         dv = normal(length * kd, 7);
      AlignedBuffer scratch(attention_backward_scratch_bytes(length, dim));
      for (std::int64_t head = 0; head < kv; ++head) {
        AttentionBackwardArgs args{
            .length = length, .heads = heads, .kv_heads = kv, .head_dim = dim, .kv_head = head};
        args.q = q.data();
        args.k = k.data();
        args.v = v.data();
        args.dout = dout.data();
        args.dq = dq.data();
        args.dk = dk.data();
        args.dv = dv.data();
        args.q_stride = d;
        args.kv_stride = kd;
        args.scale = 0.3F;
        args.window = 9;
        args.accumulate_k = true;
        args.scratch = scratch.data();
        level->backward.attention(args);
      }
      dq.insert(dq.end(), dk.begin(), dk.end());
      dq.insert(dq.end(), dv.begin(), dv.end());
      results.push_back(dq);
    }
    for (const auto& result : results) EXPECT_EQ(result, results.front()) << length;
  }
}

TEST(Backward, SoftmaxMatchesItsDefinitionWithTheSameBitsOnEveryLevel) {
  for (const std::int64_t cols : {1, 7, 16, 33, 100}) {
    const std::int64_t rows = 3, ld = (cols + 15) / 16 * 16;
    auto x = normal(rows * ld, 1);
    for (std::int64_t j = 0; j < cols; ++j) x[static_cast<std::size_t>(ld + j)] -= 4000.0F;
    std::vector<std::vector<float>> results;
    for (const Kernels* level : levels()) {
      std::vector<float> y(x.size()), stats(6);
      level->backward.softmax(x.data(), rows, cols, ld, 0.7F, y.data(), stats.data());
      for (std::int64_t r = 0; r < rows; ++r) {
        const auto at = [&](std::int64_t j) { return static_cast<std::size_t>(r * ld + j); };
        double most = -1e300, sum = 0;
        for (std::int64_t j = 0; j < cols; ++j)
          most = std::max(most, 0.7 * static_cast<double>(x[at(j)]));
        for (std::int64_t j = 0; j < cols; ++j)
          sum += std::exp(0.7 * static_cast<double>(x[at(j)]) - most);
        EXPECT_NEAR(static_cast<double>(stats[static_cast<std::size_t>(2 * r)]), most, 1e-3);
        EXPECT_NEAR(static_cast<double>(stats[static_cast<std::size_t>(2 * r + 1)]), sum,
                    1e-3 * sum);
        for (std::int64_t j = 0; j < ld; ++j)
          EXPECT_NEAR(static_cast<double>(y[at(j)]),
                      j < cols ? std::exp(0.7 * static_cast<double>(x[at(j)]) - most) / sum : 0.0,
                      1e-3)
              << cols << " " << r << " " << j;
      }
      y.insert(y.end(), stats.begin(), stats.end());
      results.push_back(std::move(y));
    }
    for (const auto& result : results) EXPECT_EQ(result, results.front()) << cols;
  }
}

// torch.optim.AdamW(lr=0.01, weight_decay=0.1) on f(w) = sum w^4 / 4 from 1 and -2, f64, 3 steps:
//   w = torch.tensor([1., -2.], dtype=torch.float64, requires_grad=True)
TEST(Backward, AdamWMatchesPyTorch) {
  for (const Kernels* level : levels()) {
    std::vector<float> w = {1.0F, -2.0F}, g(2), m(2), v(2);
    for (int step = 1; step <= 3; ++step) {
      for (std::size_t i = 0; i < 2; ++i) g[i] = 2 * w[i] * w[i] * w[i];  // halved by grad_scale
      AdamWArgs args{.n = 2, .w = w.data(), .g = g.data(), .m = m.data(), .v = v.data()};
      args.rate = 0.01F;
      args.decay = 0.1F;
      args.correction1 = static_cast<float>(1 - std::pow(0.9, step));
      args.correction2 = static_cast<float>(1 - std::pow(0.999, step));
      args.grad_scale = 0.5F;
      level->backward.adamw(args);
    }
    EXPECT_NEAR(w[0], 0.967069835F, 2e-6F);
    EXPECT_NEAR(w[1], -1.96405475F, 2e-6F);
  }
}

}  // namespace
}  // namespace tack::kernels
