// A matrix product that all workers of a pool compute together: each brings some rows of A into
// order, they meet at a barrier, each multiplies its part of c. The result does not depend on how
// many they are. Only for the code of training.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/range.h"
#include "kernels/product.h"

namespace tack {

inline bool packs(const kernels::Product& product, const kernels::ProductArgs& args) {
  return args.a_transposed || product.packs_straight;
}

// This worker's rows of A into `packed`, which has product_packed_bytes; nothing where A needs no
// packing.
inline void pack_part(const kernels::Product& product, const kernels::ProductArgs& args,
                      std::byte* packed, int worker, int workers) {
  const Range part = part_of(args.m, worker, workers, kernels::kProductPackUnit);
  if (packs(product, args) && part.size() > 0) product.pack(args, part.begin, part.end, packed);
}

// This worker's part of c [m, n], after a barrier where A was packed: columns, in panels, when
// there are enough of them, else rows. `scratch` [product_panel_bytes(k)] is its own.
inline void multiply_part(const kernels::Product& product, kernels::ProductArgs args,
                          const std::byte* packed, std::byte* scratch, int worker, int workers) {
  constexpr std::int64_t kPanel = 64, kRowBlock = 6;
  if (packs(product, args)) args.packed = packed;
  if ((args.n + kPanel - 1) / kPanel >= 2 * workers || args.n > args.m) {
    const Range part = part_of(args.n, worker, workers, kPanel);
    args.n = part.size();
    args.b += args.b_transposed ? part.begin * args.ldb : part.begin;
    args.c += part.begin;
    if (args.bias != nullptr) args.bias += part.begin;
  } else {
    const Range part = part_of(args.m, worker, workers, kRowBlock);
    args.m = part.size();
    args.packed_row = part.begin;
    args.a += args.a_transposed ? part.begin : part.begin * args.lda;
    args.c += part.begin * args.ldc;
  }
  args.scratch = scratch;
  if (args.m > 0 && args.n > 0) product.multiply(args);
}

}  // namespace tack
