#include "kernels/kernels.h"
#include "kernels/simd/block_types.h"

namespace tack::kernels {

namespace scalar {
extern const Kernels kKernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Kernels kKernels;
}
namespace avx512 {
extern const Kernels kKernels;
extern const Product kProductBf16;
}  // namespace avx512
#elif defined(__aarch64__)
namespace neon {
extern const Kernels kKernels;
}
#endif

namespace {

const Kernels* chosen = nullptr;

}  // namespace

const Kernels* kernels_for(Isa isa) {
  if (!cpu_info().supports(isa)) return nullptr;
  switch (isa) {
    case Isa::kScalar:
      return &scalar::kKernels;
#if defined(__x86_64__)
    case Isa::kAvx2:
      return &avx2::kKernels;
    case Isa::kAvx512:
      return &avx512::kKernels;
#elif defined(__aarch64__)
    case Isa::kNeon:
      return &neon::kKernels;
#endif
    default:
      return nullptr;
  }
}

Status init_kernels() {
  TACK_TRY(const Isa isa, choose_isa());
  const Kernels* table = kernels_for(isa);
  if (table == nullptr)
    return fail(ErrorCode::kUsage, "TACK_ISA: this binary has no kernels for {}", isa_name(isa));
  chosen = table;
  return {};
}

const Kernels& kernels() {
  if (chosen == nullptr && !init_kernels()) {
    for (Isa isa : {Isa::kAvx512, Isa::kAvx2, Isa::kNeon, Isa::kScalar})
      if (const Kernels* table = kernels_for(isa); table != nullptr && chosen == nullptr)
        chosen = table;
  }
  return *chosen;
}

const Product* bf16_product() {
#if defined(__x86_64__)
  if (cpu_info().avx512_bf16 && kernels().isa == Isa::kAvx512) return &avx512::kProductBf16;
#endif
  return nullptr;
}

std::size_t kv_tile_bytes(KvType type, std::int64_t head_dim) {
  const std::int64_t row = type == KvType::kF32   ? head_dim * 4
                           : type == KvType::kF16 ? head_dim * 2
                                                  : head_dim / 32 * 34;
  return static_cast<std::size_t>(2 * row * kKvTile);
}

bool has_block_product(DType type) {
  bool any = false;
  simd::with_block_type(type, [&]<class T>() { any = true; });
  return any;
}

// Panels have at most 64 columns, blocks of A at most 96 rows (simd/product.h,
// avx512/product_bf16.cc).
std::size_t product_panel_bytes(std::int64_t k) {
  return static_cast<std::size_t>(64 * (k + 1)) * sizeof(float);
}

std::size_t product_packed_bytes(const Product& product, std::int64_t m, std::int64_t k) {
  return static_cast<std::size_t>((m + 95) / 96 * 96 * (k + 1) * product.value_bytes);
}

std::size_t product_scratch_bytes(std::int64_t m, std::int64_t k) {
  return product_panel_bytes(k) +
         static_cast<std::size_t>((m + 95) / 96 * 96 * (k + 1)) * sizeof(float);
}

std::size_t attention_backward_scratch_bytes(std::int64_t length, std::int64_t head_dim) {
  const std::int64_t padded = (length + 15) / 16 * 16;
  return static_cast<std::size_t>(2 * length * padded) * sizeof(float) +
         product_scratch_bytes(length, length > head_dim ? length : head_dim);
}

std::size_t attention_scratch_floats(std::int64_t length, std::int64_t head_dim) {
  // The widest vector is 16 floats; simd/attention.h holds K transposed, V padded, and blocks of 6
  // query rows of scores and results.
  const auto n = static_cast<std::size_t>((length + 15) / 16 * 16);
  const auto dim = static_cast<std::size_t>((head_dim + 15) / 16 * 16);
  return 2 * n * dim + 6 * (n + dim);
}

}  // namespace tack::kernels
