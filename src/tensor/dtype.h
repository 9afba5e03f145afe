// Element types of tensors. The numeric values are GGUF's (ggml's) type ids, so that they can be
// written to and read from files as they are; the layouts are those of the GGUF specification.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tack {

enum class DType : std::uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ8_1 = 9,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kQ8_K = 15,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
};

// Elements are stored in blocks: `block_elements` consecutive values of a row in `block_bytes`.
struct DTypeInfo {
  DType dtype;
  std::string_view name;  // "q8_0", as our command line and llama.cpp spell it (lower case)
  std::uint32_t block_elements;
  std::uint32_t block_bytes;
};

// Null for an id that no GGUF type has.
const DTypeInfo* find_dtype(std::uint32_t id);
const DTypeInfo* find_dtype(std::string_view name);
const DTypeInfo& info(DType dtype);  // dtype is valid

// Bytes of `elements` values; empty when that is not a whole number of blocks or overflows.
std::optional<std::size_t> storage_bytes(DType dtype, std::uint64_t elements);

}  // namespace tack
