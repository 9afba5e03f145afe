// How writers of blocks store their scales.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tensor/convert.h"

namespace tack {

// At any address.
inline void store_f16(std::byte* to, float value) {
  const std::uint16_t bits = f32_to_f16(value);
  std::memcpy(to, &bits, sizeof bits);
}

}  // namespace tack
