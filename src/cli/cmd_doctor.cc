// `tack doctor`: what this machine can do, what was chosen for it, what is missing.

#include <chrono>
#include <cstdlib>
#include <system_error>

#include <unistd.h>

#include "base/aligned_buffer.h"
#include "base/cpu.h"
#include "base/json.h"
#include "base/paths.h"
#include "base/thread_pool.h"
#include "cli/lines.h"
#include "cli/verb.h"
#include "kernels/gemm_f32.h"
#include "kernels/kernels.h"
#include "models/model.h"

namespace tack {
namespace {

using Clock = std::chrono::steady_clock;

// The best rate of `work` (units per call) over a fifth of a second, on all workers at once.
double best_rate(ThreadPool& pool, double units, const std::function<void(int)>& work) {
  double best = 0;
  const auto end = Clock::now() + std::chrono::milliseconds(200);
  while (Clock::now() < end) {
    const auto start = Clock::now();
    pool.run(work);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::max(best, units * pool.size() / seconds);
  }
  return best;
}

// Products as an encoder has them: [48, 384] x [384, 1536], operands in the cache.
constexpr std::int64_t kM = 48, kN = 1536, kK = 384, kRepeats = 20;
constexpr double kOps = 2.0 * kM * kN * kK * kRepeats;

double int8_gops(ThreadPool& pool) {
  const auto& k = kernels::kernels();
  AlignedBuffer packed(k.int8_packed_bytes(kN, kK));
  const std::vector<std::int8_t> weights(static_cast<std::size_t>(kN * kK), 3);
  k.int8_pack(weights.data(), 0, kN, kN, kK, packed.data());
  const std::vector<float> scale(static_cast<std::size_t>(kN), 0.01F);
  struct Worker {
    AlignedBuffer a{};
    std::vector<float> a_scale, c;
  };
  std::vector<Worker> workers(static_cast<std::size_t>(pool.size()));
  const std::vector<float> x(static_cast<std::size_t>(kM * kK), 0.5F);
  for (Worker& w : workers) {
    w.a = AlignedBuffer(k.int8_row_bytes(kK) * static_cast<std::size_t>(kM));
    w.a_scale.resize(static_cast<std::size_t>(kM));
    w.c.resize(static_cast<std::size_t>(kM * kN));
    k.quantize_rows(x.data(), kK, kM, kK, nullptr, w.a.data(), w.a_scale.data());
  }
  return 1e-9 * best_rate(pool, kOps, [&](int worker) {
           Worker& w = workers[static_cast<std::size_t>(worker)];
           for (int i = 0; i < kRepeats; ++i)
             k.int8_gemm({.m = kM,
                          .n = kN,
                          .k = kK,
                          .a = w.a.data(),
                          .a_scale = w.a_scale.data(),
                          .b = packed.data(),
                          .b_scale = scale.data(),
                          .c = w.c.data(),
                          .ldc = kN});
         });
}

double f32_gflops(ThreadPool& pool) {
  const std::vector<float> a(static_cast<std::size_t>(kM * kK), 0.5F);
  const std::vector<float> b(static_cast<std::size_t>(kN * kK), 0.5F);
  std::vector<std::vector<float>> c(static_cast<std::size_t>(pool.size()),
                                    std::vector<float>(static_cast<std::size_t>(kM * kN)));
  return 1e-9 * best_rate(pool, kOps, [&](int worker) {
           kernels::DenseGemmArgs args;
           args.m = kM, args.n = kN, args.k = kK;
           args.a = a.data(), args.lda = kK, args.b = b.data();
           args.c = c[static_cast<std::size_t>(worker)].data(), args.ldc = kN;
           for (int i = 0; i < kRepeats; ++i) kernels::gemm_f32(args);
         });
}

double read_gb_per_s(ThreadPool& pool) {
  constexpr std::size_t kWords = (std::size_t{128} << 20) / sizeof(std::uint64_t);
  const std::vector<std::uint64_t> memory(kWords, 1);
  std::vector<std::uint64_t> sums(static_cast<std::size_t>(pool.size()) * 8);
  const std::size_t part = kWords / static_cast<std::size_t>(pool.size()) / 8 * 8;
  return 1e-9 * best_rate(pool, static_cast<double>(part * sizeof(std::uint64_t)), [&](int worker) {
           const std::uint64_t* from = memory.data() + static_cast<std::size_t>(worker) * part;
           std::array<std::uint64_t, 8> sum{};
           for (std::size_t i = 0; i < part; i += 8)
             for (std::size_t j = 0; j < 8; ++j) sum[j] += from[i + j];
           for (std::uint64_t s : sum) sums[static_cast<std::size_t>(worker) * 8] += s;
         });
}

std::vector<std::string> missing(const CpuInfo& cpu) {
  std::vector<std::string> out;
  if (!cpu.avx512 && !cpu.avx2 && !cpu.neon)
    out.push_back("no SIMD level this binary knows: the scalar kernels are many times slower");
  else if (cpu.avx2 && !cpu.avx512)
    out.push_back("no AVX-512 VNNI: int8 models run at about half the speed");
  if (const auto model = resolve_model(""); !model) out.push_back(model.error().message);
  const auto home = tack_home();
  std::error_code error;
  if (std::filesystem::exists(home, error) && access(home.c_str(), W_OK) != 0)
    out.push_back(fmt::format("{} cannot be written", home.string()));
  return out;
}

Status run(bool as_json, int threads) {
  const CpuInfo& cpu = cpu_info();
  ThreadPool pool(threads > 0 ? threads : cpu.logical_cores);
  const std::string isa(isa_name(kernels::kernels().isa));
  const char* forced = std::getenv("TACK_ISA");
  const double int8 = int8_gops(pool), f32 = f32_gflops(pool), memory = read_gb_per_s(pool);
  const auto problems = missing(cpu);
  const auto model = resolve_model("");
  if (as_json)
    return print_line(to_text(Json{{"version", TACK_VERSION},
                                   {"cpu", cpu.model},
                                   {"cores", cpu.logical_cores},
                                   {"features",
                                    {{"avx2", cpu.avx2},
                                     {"avx512_vnni", cpu.avx512},
                                     {"avx512_bf16", cpu.avx512_bf16},
                                     {"neon", cpu.neon}}},
                                   {"isa", isa},
                                   {"isa_forced", forced != nullptr},
                                   {"threads", pool.size()},
                                   {"int8_gops", int8},
                                   {"f32_gflops", f32},
                                   {"memory_read_gb_per_s", memory},
                                   {"default_model", model ? Json(model->string()) : Json()},
                                   {"home", tack_home().string()},
                                   {"missing", problems}},
                              2));
  const auto yes = [](bool b) { return b ? "yes" : "no"; };
  fmt::print("tack {}\n", TACK_VERSION);
  fmt::print("processor     {}, {} usable cores\n", cpu.model, cpu.logical_cores);
  fmt::print("features      AVX2 {}, AVX-512 VNNI {}, AVX-512 BF16 {}, NEON {}\n", yes(cpu.avx2),
             yes(cpu.avx512), yes(cpu.avx512_bf16), yes(cpu.neon));
  fmt::print("kernels       {}{}\n", isa, forced != nullptr ? " (forced by TACK_ISA)" : "");
  fmt::print(
      "measured      int8 {:.0f} GOP/s, f32 {:.0f} GFLOP/s, memory read {:.1f} GB/s on {} "
      "threads\n",
      int8, f32, memory, pool.size());
  fmt::print("default model {}\n", model ? model->string() : "not found");
  fmt::print("data          {}\n", tack_home().string());
  for (const std::string& problem : problems) fmt::print("missing       {}\n", problem);
  if (problems.empty()) fmt::print("nothing is missing\n");
  return {};
}

}  // namespace

Verb make_doctor(Command& root) {
  struct Options {
    bool json = false;
    int threads = 0;
  };
  auto options = std::make_shared<Options>();
  Command verb = root.add_verb("doctor", "Check this machine and measure its peaks");
  add_threads_option(verb, options->threads);
  verb.flag("--json", options->json, "Print the result as JSON");
  return {verb, [options] { return run(options->json, options->threads); }};
}

}  // namespace tack
