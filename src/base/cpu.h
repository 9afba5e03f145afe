// What the processor can do, and which ISA level the kernels run at.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tack {

// Levels of kernels, best last on each architecture.
enum class Isa { kScalar, kAvx2, kAvx512, kNeon };

std::string_view isa_name(Isa isa);         // "scalar", "avx2", "avx512", "neon"
Result<Isa> parse_isa(std::string_view s);  // kUsage, naming the choices, for an unknown name

struct CpuInfo {
  std::string model;      // as the processor names itself
  int logical_cores = 1;  // usable by this process (affinity and cgroup quota respected)
  bool avx2 = false;      // AVX2, FMA and F16C, with OS support
  bool avx512 = false;    // F, BW, DQ, VL and VNNI, with OS support
  bool avx512_bf16 = false;
  bool neon = false;
  bool supports(Isa isa) const;
};

const CpuInfo& cpu_info();

// The level to run: TACK_ISA when set (kUsage if unknown or not supported here), else the best.
Result<Isa> choose_isa();

}  // namespace tack
