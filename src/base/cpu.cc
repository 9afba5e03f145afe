#include "base/cpu.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include <sched.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace tack {
namespace {

#if defined(__x86_64__)
std::string brand_string() {
  std::array<unsigned, 12> words{};
  unsigned highest = __get_cpuid_max(0x80000000U, nullptr);
  if (highest < 0x80000004U) return "x86-64";
  for (unsigned i = 0; i < 3; ++i)
    __get_cpuid(0x80000002U + i, &words[i * 4], &words[i * 4 + 1], &words[i * 4 + 2],
                &words[i * 4 + 3]);
  std::string name(reinterpret_cast<const char*>(words.data()), sizeof(words));
  name.resize(std::strlen(name.c_str()));
  while (!name.empty() && name.back() == ' ') name.pop_back();
  return name;
}
#endif

// CPUs the cgroup's quota allows (cgroup v2 cpu.max: "quota period" or "max period"); 0 = no limit.
int cgroup_cores() {
  std::ifstream in("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(in >> quota >> period) || quota == "max" || period <= 0) return 0;
  return std::max(1, static_cast<int>(std::ceil(std::atof(quota.c_str()) / period)));
}

CpuInfo detect() {
  CpuInfo info;
  cpu_set_t set;
  CPU_ZERO(&set);
  info.logical_cores = sched_getaffinity(0, sizeof(set), &set) == 0
                           ? CPU_COUNT(&set)
                           : static_cast<int>(std::thread::hardware_concurrency());
  if (const int quota = cgroup_cores(); quota > 0)
    info.logical_cores = std::min(info.logical_cores, quota);
  info.logical_cores = std::max(1, info.logical_cores);
#if defined(__x86_64__)
  __builtin_cpu_init();
  info.model = brand_string();
  info.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  info.avx512 = info.avx2 && __builtin_cpu_supports("avx512f") &&
                __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
  info.avx512_bf16 = info.avx512 && __builtin_cpu_supports("avx512bf16");
#elif defined(__aarch64__)
  info.model = "aarch64";
  info.neon = true;
#endif
  return info;
}

constexpr std::array<Isa, 4> kWorstToBest = {Isa::kScalar, Isa::kNeon, Isa::kAvx2, Isa::kAvx512};

}  // namespace

std::string_view isa_name(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kNeon:
      return "neon";
  }
  return "?";
}

Result<Isa> parse_isa(std::string_view s) {
  for (Isa isa : kWorstToBest)
    if (isa_name(isa) == s) return isa;
  return fail(ErrorCode::kUsage, "unknown ISA '{}': choose scalar, avx2, avx512 or neon", s);
}

bool CpuInfo::supports(Isa isa) const {
  switch (isa) {
    case Isa::kScalar:
      return true;
    case Isa::kAvx2:
      return avx2;
    case Isa::kAvx512:
      return avx512;
    case Isa::kNeon:
      return neon;
  }
  return false;
}

const CpuInfo& cpu_info() {
  static const CpuInfo info = detect();
  return info;
}

Result<Isa> choose_isa() {
  if (const char* forced = std::getenv("TACK_ISA"); forced && *forced) {
    auto isa = parse_isa(forced);
    if (!isa) return std::unexpected(std::move(isa.error()).in("TACK_ISA"));
    if (!cpu_info().supports(*isa))
      return fail(ErrorCode::kUsage,
                  "TACK_ISA: this processor has no {}; unset it to choose the best",
                  isa_name(*isa));
    return *isa;
  }
  Isa best = Isa::kScalar;
  for (Isa isa : kWorstToBest)
    if (cpu_info().supports(isa)) best = isa;
  return best;
}

}  // namespace tack
