#include "kernels/avx2/blocks.h"

namespace tack::kernels::avx2 {

extern const Blocks kBlocks;
const Blocks kBlocks = {quantize_blocks, simd::block_product<BlockTile<false>>};

}  // namespace tack::kernels::avx2
