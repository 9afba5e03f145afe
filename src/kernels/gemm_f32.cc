#include "kernels/gemm_f32.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <vector>

#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.hpp>

#include "base/checked.h"
#include "base/cpu.h"
#include "kernels/kernels.h"

namespace tack::kernels {
namespace {

std::uint16_t round_to_bf16(float x) {
  const auto bits = __builtin_bit_cast(std::uint32_t, x);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return static_cast<std::uint16_t>(bits >> 16 | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
}

// c = residual + f(product + bias), row by row; `product` [m, n] is overwritten.
void finish(const DenseGemmArgs& args, float* product) {
  const Kernels& k = kernels();
  for (std::int64_t i = 0; i < args.m; ++i) {
    float* const y = product + i * args.n;
    if (args.bias != nullptr)
      for (std::int64_t j = 0; j < args.n; ++j) y[j] += args.bias[j];
    if (args.activation != Activation::kNone) k.activate(args.activation, y, y, args.n);
    float* const c = args.c + i * args.ldc;
    const float* const residual = args.residual == nullptr ? nullptr : args.residual + i * args.ldc;
    for (std::int64_t j = 0; j < args.n; ++j)
      c[j] = residual == nullptr ? y[j] : residual[j] + y[j];
  }
}

// oneDNN brings the OpenMP runtime with it and would divide a product among threads of its own, and
// its sums with it. Ours divide the work already; the setting belongs to the calling thread.
void stay_on_this_thread() {
  using SetThreads = void (*)(int);
  thread_local const bool once = [] {
    if (auto* set = reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "omp_set_num_threads")))
      set(1);
    return true;
  }();
  (void)once;
}

float* product_buffer(std::int64_t floats) {
  thread_local AlignedBuffer buffer;
  const auto bytes = static_cast<std::size_t>(floats) * sizeof(float);
  if (buffer.size() < bytes) buffer = AlignedBuffer(bytes);
  return buffer.as<float>();
}

// A bf16 product of oneDNN for one shape. Making one costs 0.1 to 0.3 ms, so each thread keeps its
// own, and the rows are rounded up to few different numbers.
class Bf16Product {
 public:
  Bf16Product(std::int64_t m, std::int64_t n, std::int64_t k)
      : engine_(dnnl::engine::kind::cpu, 0),
        stream_(engine_),
        a_({m, k}, dnnl::memory::data_type::bf16, dnnl::memory::format_tag::ab),
        b_({k, n}, dnnl::memory::data_type::bf16, dnnl::memory::format_tag::ba),
        c_({m, n}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::ab),
        matmul_(dnnl::matmul::primitive_desc(dnnl::matmul::desc(a_, b_, c_), engine_)) {}

  void run(const std::uint16_t* a, const std::uint16_t* b, float* c) {
    const auto memory = [&](const dnnl::memory::desc& d, const void* p) {
      return dnnl::memory(d, engine_, const_cast<void*>(p));
    };
    matmul_.execute(stream_, {{DNNL_ARG_SRC, memory(a_, a)},
                              {DNNL_ARG_WEIGHTS, memory(b_, b)},
                              {DNNL_ARG_DST, memory(c_, c)}});
    stream_.wait();
  }

 private:
  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::memory::desc a_, b_, c_;
  dnnl::matmul matmul_;
};

// Without bf16 instructions: weights widened a panel at a time, activations rounded, sgemm.
void widened_product(const Bf16GemmArgs& args, float* product) {
  constexpr std::int64_t kPanel = 64;
  std::vector<float> b(static_cast<std::size_t>(std::min(kPanel, args.n) * args.k));
  std::vector<float> a(static_cast<std::size_t>(args.m * args.k));
  for (std::int64_t i = 0; i < args.m; ++i)
    for (std::int64_t k = 0; k < args.k; ++k)
      a[static_cast<std::size_t>(i * args.k + k)] = __builtin_bit_cast(
          float, static_cast<std::uint32_t>(round_to_bf16(args.a[i * args.lda + k])) << 16);
  for (std::int64_t j = 0; j < args.n; j += kPanel) {
    const std::int64_t n = std::min(kPanel, args.n - j);
    for (std::int64_t e = 0; e < n * args.k; ++e)
      b[static_cast<std::size_t>(e)] =
          __builtin_bit_cast(float, static_cast<std::uint32_t>(args.b16[j * args.k + e]) << 16);
    dnnl_sgemm('N', 'T', args.m, n, args.k, 1.0F, a.data(), args.k, b.data(), args.k, 0.0F,
               product + j, args.n);
  }
}

}  // namespace

void gemm_f32(const DenseGemmArgs& args) {
  stay_on_this_thread();
  float* const product = product_buffer(args.m * args.n);
  dnnl_sgemm('N', 'T', args.m, args.n, args.k, 1.0F, args.a, args.lda, args.b, args.k, 0.0F,
             product, args.n);
  finish(args, product);
}

void gemm_bf16(const Bf16GemmArgs& args) {
  stay_on_this_thread();
  const std::int64_t rows = round_up<std::int64_t>(args.m, args.m <= 16 ? 4 : 16);
  float* const product = product_buffer(rows * args.n);
  if (!cpu_info().avx512_bf16 || kernels().isa != Isa::kAvx512) {
    widened_product(args, product);
  } else {
    thread_local std::vector<std::uint16_t> a;
    a.assign(static_cast<std::size_t>(rows * args.k), 0);
    for (std::int64_t i = 0; i < args.m; ++i)
      for (std::int64_t k = 0; k < args.k; ++k)
        a[static_cast<std::size_t>(i * args.k + k)] = round_to_bf16(args.a[i * args.lda + k]);
    thread_local std::map<std::tuple<std::int64_t, std::int64_t, std::int64_t>, Bf16Product> made;
    auto [at, fresh] = made.try_emplace({rows, args.n, args.k}, rows, args.n, args.k);
    at->second.run(a.data(), args.b16, product);
  }
  finish(args, product);
}

}  // namespace tack::kernels
