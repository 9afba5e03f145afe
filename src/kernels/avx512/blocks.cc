// VNNI on vectors of 256 bits: the blocks are read as on AVX2.
#include "kernels/avx2/blocks.h"

namespace tack::kernels::avx512 {

extern const Blocks kBlocks;
const Blocks kBlocks = {avx2::quantize_blocks, simd::block_product<avx2::BlockTile<true>>};

}  // namespace tack::kernels::avx512
