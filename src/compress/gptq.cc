#include "compress/gptq.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cmath>

#include "base/untouched_buffer.h"
#include "kernels/kernels.h"
#include "tensor/block_parts.h"
#include "tensor/block_search.h"
#include "tensor/blocks.h"

namespace tack {
namespace {

// Rows that a worker takes through all columns: their errors stay in its cache, and the factor is
// read once for all of them.
constexpr std::int64_t kRows = 64;

// Writes some rows of a weight, column block by column block.
class Rounder {
 public:
  Rounder(DType dtype, const HessianFactor& factor)
      : dtype_(dtype),
        in_(factor.in()),
        block_(info(dtype).block_elements),
        factor_(factor),
        to_code_(dtype),
        errors_(static_cast<std::size_t>(kRows * in_)),
        repairs_(static_cast<std::size_t>(kRows * block_)),
        scratch_(kernels::product_scratch_bytes(kRows, in_)) {}

  // weight [rows, in] to blocks [rows, in / block].
  void run(const float* weight, std::int64_t rows, std::byte* blocks) {
    const std::int64_t per_row = in_ / block_, bytes = info(dtype_).block_bytes;
    for (std::int64_t b = 0; b < per_row; ++b) {
      const std::int64_t first = b * block_;
      repair_from_before(first, rows);
      for (std::int64_t r = 0; r < rows; ++r)
        round_block(weight + r * in_ + first, first, &errors_[at(r, first)],
                    &repairs_[static_cast<std::size_t>(r * block_)],
                    blocks + (r * per_row + b) * bytes);
    }
  }

 private:
  std::size_t at(std::int64_t r, std::int64_t c) const {
    return static_cast<std::size_t>(r * in_ + c);
  }

  // What the errors of all columns before ask of the block's: repairs [rows, block].
  void repair_from_before(std::int64_t first, std::int64_t rows) {
    std::ranges::fill(repairs_, 0.0F);
    if (first == 0) return;
    kernels::kernels().product.multiply({.m = rows,
                                         .n = block_,
                                         .k = first,
                                         .a = errors_.data(),
                                         .lda = in_,
                                         .b = factor_.ratios() + first,
                                         .ldb = in_,
                                         .c = repairs_.data(),
                                         .ldc = block_,
                                         .scratch = scratch_.data()});
  }

  // One row's block: `repairs` grows as its columns are rounded.
  void round_block(const float* weight, std::int64_t first, float* errors, float* repairs,
                   std::byte* to) {
    const float* const importance = factor_.conditional().data() + first;
    float wanted[256];
    const auto want = [&](std::int64_t i) {
      wanted[i] = std::clamp(weight[i] + repairs[i], -kBlockLimit, kBlockLimit);
    };
    for (std::int64_t i = 0; i < block_; ++i) want(i);
    BlockParts parts = fit_block(dtype_, wanted, importance);
    for (std::int64_t i = 0; i < block_; ++i) {
      const auto g = static_cast<int>(i / parts.group);
      if (i > 0 && i % parts.group == 0) {
        for (std::int64_t k = i; k < i + parts.group; ++k) want(k);
        refit_group(dtype_, wanted + i, importance + i, g, parts);
      }
      want(i);
      const float scale = parts.scale * static_cast<float>(parts.scale_code[g]),
                  offset = parts.offset * static_cast<float>(parts.offset_code[g]);
      const float scaled = scale == 0 ? 0 : (wanted[i] - offset) / scale;
      parts.code[i] = to_code_.nearest(scaled);
      errors[i] = weight[i] - (scale * static_cast<float>(parts.code[i]) + offset);
      const float* const ratios = factor_.ratios() + (first + i) * in_ + first;
      for (std::int64_t k = i + 1; k < block_; ++k) repairs[k] += errors[i] * ratios[k];
    }
    put_together(dtype_, parts, to);
  }

  DType dtype_;
  std::int64_t in_, block_;
  const HessianFactor& factor_;
  CodeRounder to_code_;
  std::vector<float> errors_, repairs_;
  UntouchedBuffer scratch_;
};

Status check(DType dtype, std::span<const float> weight, std::int64_t in) {
  assert(std::ssize(weight) % in == 0);
  if (!has_parts(dtype)) return fail(ErrorCode::kUsage, "GPTQ does not write {}", info(dtype).name);
  if (in % info(dtype).block_elements != 0)
    return fail("rows of {} values are no whole number of {}'s blocks of {}", in, info(dtype).name,
                info(dtype).block_elements);
  const auto broken = std::ranges::find_if_not(
      weight, [](float x) { return std::fabs(x) <= kBlockLimit; });  // false of NaN too
  if (broken == weight.end()) return {};
  const std::int64_t index = broken - weight.begin();
  return fail("row {}: value {} is {}, which {} cannot hold", index / in, index % in, *broken,
              info(dtype).name);
}

}  // namespace

Result<std::vector<std::byte>> gptq_quantize(DType dtype, std::span<const float> weight,
                                             std::int64_t out, const HessianFactor& factor,
                                             ThreadPool& pool) {
  const std::int64_t in = factor.in();
  TACK_RETURN_IF_ERROR(check(dtype, weight, in));
  const std::int64_t row_bytes = in / info(dtype).block_elements * info(dtype).block_bytes;
  std::vector<std::byte> blocks(static_cast<std::size_t>(out * row_bytes));
  std::atomic<std::int64_t> next{0};
  pool.run([&](int) {
    Rounder rounder(dtype, factor);
    for (std::int64_t first; (first = next.fetch_add(kRows)) < out;)
      rounder.run(weight.data() + first * in, std::min(kRows, out - first),
                  blocks.data() + first * row_bytes);
  });
  return blocks;
}

Result<std::vector<std::byte>> gptq_quantize(DType dtype, std::span<const float> weight,
                                             std::int64_t out, std::int64_t in,
                                             std::span<const float> hessian,
                                             const GptqOptions& options, ThreadPool& pool) {
  TACK_RETURN_IF_ERROR(check(dtype, weight, in));
  TACK_TRY(const auto factor, HessianFactor::make(hessian, in, options.damping, pool));
  return gptq_quantize(dtype, weight, out, factor, pool);
}

}  // namespace tack
