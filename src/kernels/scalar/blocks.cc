#include "kernels/scalar/blocks.h"

namespace tack::kernels::scalar {

extern const Blocks kBlocks;
const Blocks kBlocks = {quantize_blocks, simd::block_product<BlockTile>};

}  // namespace tack::kernels::scalar
