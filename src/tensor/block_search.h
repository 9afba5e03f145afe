// Blocks of least weighted squared error: a search for scales, offsets and codes of every type that
// has parts (tensor/block_parts.h). The searches are ours; the layouts are GGUF's.
//
// The nearest code is not the whole answer: scales are stored in few bits, a clipped outlier can
// pay for finer steps, and a column that counts more than others should be hit more closely.
#pragma once

#include <cstdint>

#include "tensor/block_parts.h"

namespace tack {

// The block of x [values], finite and at most kBlockLimit in size, for which
// sum importance[i] * (x[i] - stored[i])^2 is small. importance [values] is finite and not
// negative; null, or all zero: every value counts the same. The same arguments give the same block
// on every machine.
BlockParts fit_block(DType dtype, const float* x, const float* importance);

// Chooses the scale and offset codes of one group anew, for the x and importance [parts.group] that
// its values have now; the block's own scale and offset, and all codes, stay.
void refit_group(DType dtype, const float* x, const float* importance, int group,
                 BlockParts& parts);

// To the nearest of a type's codes.
class CodeRounder {
 public:
  explicit CodeRounder(DType dtype);
  // Of a value that is already divided by its scale; finite.
  std::int8_t nearest(float scaled) const;

 private:
  bool uneven_;
  float least_, most_;
};

}  // namespace tack
