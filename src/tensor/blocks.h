// The block types of GGUF beyond Q8_0 and Q5_0, read: what llama.cpp and others write.
// Layouts: the block structs of https://github.com/ggml-org/ggml (ggml-common.h).
#pragma once

#include <cstddef>

#include "tensor/dtype.h"

namespace tack {

// Widens one block (info(dtype).block_bytes) to block_elements floats, with the reference's order
// of operations: equal to it in every bit.
using ReadBlockFn = void (*)(const std::byte* block, float* to);

// Null for a type that is not one of these.
ReadBlockFn block_reader(DType dtype);

}  // namespace tack
