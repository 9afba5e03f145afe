// Plain C++ for now.
#include "kernels/scalar/blocks.h"

namespace tack::kernels::neon {

extern const Blocks kBlocks;
const Blocks kBlocks = {scalar::quantize_blocks, simd::block_product<scalar::BlockTile>};

}  // namespace tack::kernels::neon
