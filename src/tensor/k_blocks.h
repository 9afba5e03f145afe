// Writing the block types whose scales are codes themselves: Q4_K, Q5_K, Q6_K. There the nearest
// code is not the whole answer: which scales and minimums are stored is chosen by a search for the
// least squared error. The searches are ours; the layouts are those that tensor/blocks.h reads.
#pragma once

#include <cstddef>

namespace tack {

// `from` has 256 finite values of at most 65504; `block` has room for info(dtype).block_bytes. The
// same values give the same bytes on every machine.
void write_q4_k(const float* from, std::byte* block);
void write_q5_k(const float* from, std::byte* block);
void write_q6_k(const float* from, std::byte* block);

}  // namespace tack
