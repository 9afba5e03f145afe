// For tests: the kernels of every level that this machine runs.
#pragma once

#include <vector>

#include "kernels/kernels.h"

namespace tack::kernels {

inline std::vector<const Kernels*> levels() {
  std::vector<const Kernels*> all;
  for (Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kNeon})
    if (const Kernels* table = kernels_for(isa)) all.push_back(table);
  return all;
}

}  // namespace tack::kernels
