#include "tensor/convert.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tensor/blocks.h"

namespace tack {
namespace {

constexpr std::size_t kBlock = 32;
constexpr std::size_t kQ8Bytes = 34;  // f16 scale, 32 s8
constexpr std::size_t kQ5Bytes = 22;  // f16 scale, 32 high bits, 16 bytes of low nibbles

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <class T>
void store(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

void q8_0_to_f32(const std::byte* block, float* to) {
  const float scale = f16_to_f32(load<std::uint16_t>(block));
  for (std::size_t i = 0; i < kBlock; ++i)
    to[i] = scale * static_cast<float>(static_cast<std::int8_t>(block[2 + i]));
}

void write_q8_0(const float* from, float inverse, std::uint16_t scale, std::byte* block) {
  store(block, scale);
  for (std::size_t i = 0; i < kBlock; ++i) {
    const float q = std::clamp(std::nearbyintf(from[i] * inverse), -127.0F, 127.0F);
    block[2 + i] = static_cast<std::byte>(static_cast<std::int8_t>(q));
  }
}

// Value i of a Q5_0 block: nibble i (or the high nibble of i - 16) with bit i of `high` above it.
void q5_0_to_f32(const std::byte* block, float* to) {
  const float scale = f16_to_f32(load<std::uint16_t>(block));
  const auto high = load<std::uint32_t>(block + 2);
  for (std::size_t i = 0; i < kBlock; ++i) {
    const auto byte = static_cast<std::uint32_t>(block[6 + i % 16]);
    const std::uint32_t low = i < 16 ? byte & 15U : byte >> 4U;
    const std::uint32_t q = low | (high >> i & 1U) << 4U;
    to[i] = scale * (static_cast<float>(q) - 16.0F);
  }
}

// What f16, or the f16 scale of a block, cannot hold.
Status check_range(DType dtype, std::span<const float> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::fabs(values[i]) <= kBlockLimit) continue;
    if (!std::isfinite(values[i]))
      return fail("value {} is {}, which {} cannot hold", i, values[i], info(dtype).name);
    return fail("value {} is {}, too large for {}: use bf16 or f32", i, values[i],
                info(dtype).name);
  }
  return {};
}

}  // namespace

std::uint16_t f32_to_f16(float x) {
  const auto bits = __builtin_bit_cast(std::uint32_t, x);
  const std::uint32_t sign = bits >> 16 & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U)  // NaN, kept quiet
    return static_cast<std::uint16_t>(sign | 0x7e00U | (magnitude >> 13 & 0x3ffU));
  if (magnitude >= 0x477ff000U) return static_cast<std::uint16_t>(sign | 0x7c00U);
  if (magnitude < 0x38800000U) {
    // Subnormal or zero: adding 0.5 leaves the rounded result in the low bits (ulp of 0.5 is
    // 2^-24).
    const float shifted = __builtin_bit_cast(float, magnitude) + 0.5F;
    return static_cast<std::uint16_t>(sign | (__builtin_bit_cast(std::uint32_t, shifted) & 0x7ffU));
  }
  const std::uint32_t rounded = magnitude + 0xfffU + (magnitude >> 13 & 1U);
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000U) >> 13));
}

float f16_to_f32(std::uint16_t h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000U) << 16;
  const std::uint32_t rest = h & 0x7fffU;
  if (rest >= 0x7c00U) return __builtin_bit_cast(float, sign | 0x7f800000U | (rest & 0x3ffU) << 13);
  if (rest < 0x400U) {
    const float magnitude = static_cast<float>(rest) * 0x1p-24F;
    return __builtin_bit_cast(float, sign | __builtin_bit_cast(std::uint32_t, magnitude));
  }
  return __builtin_bit_cast(float, sign | ((rest << 13) + 0x38000000U));
}

std::uint16_t f32_to_bf16(float x) {
  const auto bits = __builtin_bit_cast(std::uint32_t, x);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return static_cast<std::uint16_t>(bits >> 16 | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
}

bool convertible(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 ||
         dtype == DType::kQ8_0 || dtype == DType::kQ5_0 || block_reader(dtype) != nullptr;
}

Status to_f32(DType dtype, std::span<const std::byte> from, std::span<float> to) {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(to.data(), from.data(), to.size_bytes());
      return {};
    case DType::kF16:
      for (std::size_t i = 0; i < to.size(); ++i)
        to[i] = f16_to_f32(load<std::uint16_t>(from.data() + 2 * i));
      return {};
    case DType::kBF16:
      for (std::size_t i = 0; i < to.size(); ++i)
        to[i] = bf16_to_f32(load<std::uint16_t>(from.data() + 2 * i));
      return {};
    case DType::kQ8_0:
      for (std::size_t b = 0; b < to.size() / kBlock; ++b)
        q8_0_to_f32(from.data() + b * kQ8Bytes, to.data() + b * kBlock);
      return {};
    case DType::kQ5_0:
      for (std::size_t b = 0; b < to.size() / kBlock; ++b)
        q5_0_to_f32(from.data() + b * kQ5Bytes, to.data() + b * kBlock);
      return {};
    default: {
      const ReadBlockFn read = block_reader(dtype);
      if (read == nullptr) return fail("type {} cannot be read", info(dtype).name);
      const DTypeInfo& type = info(dtype);
      for (std::size_t b = 0; b < to.size() / type.block_elements; ++b)
        read(from.data() + b * type.block_bytes, to.data() + b * type.block_elements);
      return {};
    }
  }
}

Status from_f32(DType dtype, std::span<const float> from, std::span<std::byte> to) {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(to.data(), from.data(), from.size_bytes());
      return {};
    case DType::kF16:
      TACK_RETURN_IF_ERROR(check_range(dtype, from));
      for (std::size_t i = 0; i < from.size(); ++i) store(to.data() + 2 * i, f32_to_f16(from[i]));
      return {};
    case DType::kBF16:
      for (std::size_t i = 0; i < from.size(); ++i) store(to.data() + 2 * i, f32_to_bf16(from[i]));
      return {};
    default: {
      const WriteBlockFn write = block_writer(dtype);
      if (write == nullptr)
        return fail(
            "type {} cannot be written (f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q2_k, q3_k, "
            "q4_k, q5_k, q6_k, iq4_nl and iq4_xs can)",
            info(dtype).name);
      TACK_RETURN_IF_ERROR(check_range(dtype, from));
      const DTypeInfo& type = info(dtype);
      for (std::size_t b = 0; b < from.size() / type.block_elements; ++b)
        write(from.data() + b * type.block_elements, to.data() + b * type.block_bytes);
      return {};
    }
  }
}

void quantize_row_int8(std::span<const float> values, std::span<std::byte> q8_0_blocks) {
  float most = 0.0F;
  for (float v : values) most = std::max(most, std::fabs(v));
  std::uint16_t scale = f32_to_f16(most / 127.0F);
  if (f16_to_f32(scale) < most / 127.0F) ++scale;  // upward: the next f16
  const float rounded = f16_to_f32(scale);
  const float inverse = rounded == 0.0F ? 0.0F : 1.0F / rounded;
  for (std::size_t b = 0; b < values.size() / kBlock; ++b)
    write_q8_0(values.data() + b * kBlock, inverse, scale, q8_0_blocks.data() + b * kQ8Bytes);
}

float shared_q8_0_scale(std::span<const std::byte> q8_0_row) {
  const auto first = load<std::uint16_t>(q8_0_row.data());
  for (std::size_t at = kQ8Bytes; at < q8_0_row.size(); at += kQ8Bytes)
    if (load<std::uint16_t>(q8_0_row.data() + at) != first) return -1.0F;
  const float scale = f16_to_f32(first);
  return scale >= 0.0F ? scale : -1.0F;
}

}  // namespace tack
