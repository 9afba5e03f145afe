// Products with block-quantised weights: what the levels share. A level's tile L reads blocks and
// multiplies them:
//   L::unpack<T>(unit, stride, to, step)  8 rows `stride` bytes apart, T::kBlocks blocks to
//                                         to[0], to[step], ...
//   L::multiply<T, R, C>(rows, blocks, w, step, acc)  acc [R][C * 8] += R rows of activations times
//                                         `blocks` times C WeightBlocks
//   L::kPairs<T>                          whether C = 2 pays
// With few rows the codes go from the file to the multipliers at once. With many, 32 rows of
// weights times 512 values are unpacked into the first-level cache and meet all rows there: the
// work of unpacking is divided among them.
#pragma once

#include "kernels/simd/block_types.h"

namespace tack::kernels::simd {

inline constexpr std::int64_t kSlabBlocks = 16;  // 32 columns of them are 18 to 24 KB
inline constexpr int kGroups = kBlockColumns / kColumns;

// A quantised row.
struct ActivationRow {
  const std::int8_t* codes;
  const ActivationBlock* blocks;
};

template <class L>
inline ActivationRow activation_row(const std::byte* a, std::int64_t row, std::int64_t k,
                                    std::int64_t first_block) {
  const std::byte* const at = a + row * static_cast<std::int64_t>(block_row_bytes(k));
  return {reinterpret_cast<const std::int8_t*>(at) + first_block * kBlockValues,
          reinterpret_cast<const ActivationBlock*>(at + k) + first_block};
}

// One unit of `columns` rows; what stands for rows that are missing is read from copies.
template <class T, class L>
inline void unpack_some(const std::byte* unit, std::int64_t stride, int columns, WeightBlock<T>* to,
                        std::int64_t step) {
  if (columns == kColumns) return L::template unpack<T>(unit, stride, to, step);
  std::byte copies[kColumns * T::kBytes] = {};
  for (int c = 0; c < columns; ++c)
    __builtin_memcpy(copies + c * T::kBytes, unit + c * stride, T::kBytes);
  L::template unpack<T>(copies, T::kBytes, to, step);
}

// What sums of columns start from.
template <class L>
[[gnu::always_inline]] inline void start_columns(const BlockProductArgs& args, std::int64_t column,
                                                 int columns, float* to) {
  for (int c = 0; c < columns; ++c) to[c] = args.bias == nullptr ? 0.0F : args.bias[column + c];
}

// What comes after these columns lies behind them in the file. The processor follows eight rows at
// once badly, so their successors are asked for in the order of memory, a stretch for each unit.
template <class L>
inline void prefetch(const std::byte* from, int bytes) {
  for (int i = 0; i < bytes; i += 64) __builtin_prefetch(from + i);
}

template <class T, class L, int R>
void few_rows(const BlockProductArgs& args) {
  const std::int64_t units = args.k / (T::kBlocks * kBlockValues), stride = units * T::kBytes;
  ActivationRow rows[R];
  for (int r = 0; r < R; ++r) rows[r] = activation_row<L>(args.a, r, args.k, 0);
  for (std::int64_t column = 0; column < args.n; column += kColumns) {
    const int columns =
        args.n - column < kColumns ? static_cast<int>(args.n - column) : int{kColumns};
    alignas(32) float acc[R * kColumns] = {};
    for (int r = 0; r < R; ++r) start_columns<L>(args, column, columns, acc + r * kColumns);
    const std::byte* unit = args.b + column * stride;
    const std::byte* next = unit + kColumns * stride;
    ActivationRow at[R];
    for (int r = 0; r < R; ++r) at[r] = rows[r];
    WeightBlock<T> w[T::kBlocks];
    for (std::int64_t u = 0; u < units; ++u, unit += T::kBytes, next += kColumns * T::kBytes) {
      prefetch<L>(next, kColumns * T::kBytes);
      unpack_some<T, L>(unit, stride, columns, w, 1);
      L::template multiply<T, R, 1>(at, T::kBlocks, w, 1, acc);
      for (int r = 0; r < R; ++r) {
        at[r].codes += T::kBlocks * kBlockValues;
        at[r].blocks += T::kBlocks;
      }
    }
    for (int r = 0; r < R; ++r)
      for (int c = 0; c < columns; ++c) args.c[r * args.ldc + column + c] = acc[r * kColumns + c];
  }
}

// R rows of sums [columns] between c and `acc` [R][C * 8]. `columns` is a constant for whole tiles:
// copies of a size that is not known cost as much as a block's product.
template <class L, int R, int C>
[[gnu::always_inline]] inline void load_sums(const BlockProductArgs& args, std::int64_t row,
                                             std::int64_t column, int columns, bool first,
                                             float* acc) {
  for (int r = 0; r < R; ++r, acc += C * kColumns)
    if (first)
      start_columns<L>(args, column, columns, acc);
    else
      __builtin_memcpy(acc, args.c + (row + r) * args.ldc + column,
                       static_cast<std::size_t>(columns) * sizeof(float));
}
template <class L, int R, int C>
[[gnu::always_inline]] inline void store_sums(const BlockProductArgs& args, std::int64_t row,
                                              std::int64_t column, int columns, const float* acc) {
  for (int r = 0; r < R; ++r, acc += C * kColumns)
    __builtin_memcpy(args.c + (row + r) * args.ldc + column, acc,
                     static_cast<std::size_t>(columns) * sizeof(float));
}

// The slab that comes next, asked for a few lines at a time while the last one is multiplied, where
// few rows share it: it takes as long to come as to use.
template <class T>
class NextSlab {
 public:
  static constexpr bool kAsks = true;
  // Column and block of the next slab; `asks` times will be asked.
  NextSlab(const BlockProductArgs& args, std::int64_t stride, std::int64_t column,
           std::int64_t block, std::int64_t blocks, std::int64_t asks)
      : stride_(stride) {
    const std::int64_t all = args.k / kBlockValues;
    if (block >= all) {
      block = 0;
      column += kBlockColumns;
    }
    if (column >= args.n) return;
    blocks = all - block < blocks ? all - block : blocks;
    rows_ = args.n - column < kBlockColumns ? args.n - column : kBlockColumns;
    row_ = args.b + column * stride + block / T::kBlocks * T::kBytes;
    bytes_ = blocks / T::kBlocks * T::kBytes;
    lines_ = (rows_ * ((bytes_ + 63) / 64) + asks - 1) / asks;
  }
  void ask() {
    for (std::int64_t i = 0; i < lines_ && rows_ > 0; ++i) {
      __builtin_prefetch(row_ + at_, 0, 2);
      at_ += 64;
      if (at_ < bytes_) continue;
      at_ = 0;
      row_ += stride_;
      --rows_;
    }
  }

 private:
  const std::byte* row_ = nullptr;
  std::int64_t stride_, rows_ = 0, bytes_ = 0, at_ = 0, lines_ = 0;
};

// With many rows it comes in time.
struct NoSlab {
  static constexpr bool kAsks = false;
  template <class... Arguments>
  explicit NoSlab(const Arguments&...) {}
};
inline constexpr std::int64_t kRowsThatAsk = 32;
inline constexpr std::int64_t kStretch = 4;  // blocks between two asks

// A slab's product, asking for the next one. More than a few lines at once would wait for each
// other.
template <class T, class L, int R, int C, class Next>
[[gnu::always_inline]] inline void multiply_asking(const ActivationRow (&rows)[R],
                                                   std::int64_t blocks, const WeightBlock<T>* w,
                                                   float* acc, Next& next) {
  if constexpr (!Next::kAsks) {
    L::template multiply<T, R, C>(rows, blocks, w, kGroups, acc);
  } else {
    ActivationRow at[R];
    for (int r = 0; r < R; ++r) at[r] = rows[r];
    for (std::int64_t b = 0; b < blocks; b += kStretch, w += kStretch * kGroups) {
      next.ask();
      L::template multiply<T, R, C>(at, blocks - b < kStretch ? blocks - b : kStretch, w, kGroups,
                                    acc);
      for (int r = 0; r < R; ++r) {
        at[r].codes += kStretch * kBlockValues;
        at[r].blocks += kStretch;
      }
    }
  }
}

// R rows times C groups of 8 columns of a slab.
template <class T, class L, int R, int C, class Next>
inline void slab_tile(const BlockProductArgs& args, const ActivationRow (&rows)[R],
                      std::int64_t row, std::int64_t blocks, bool first, const WeightBlock<T>* w,
                      std::int64_t column, Next& next) {
  alignas(32) float acc[R * C * kColumns];
  const std::int64_t left = args.n - column;
  if (left >= C * kColumns) {
    load_sums<L, R, C>(args, row, column, C * kColumns, first, acc);
    multiply_asking<T, L, R, C>(rows, blocks, w, acc, next);
    store_sums<L, R, C>(args, row, column, C * kColumns, acc);
    return;
  }
  for (float& sum : acc) sum = 0.0F;
  load_sums<L, R, C>(args, row, column, static_cast<int>(left), first, acc);
  multiply_asking<T, L, R, C>(rows, blocks, w, acc, next);
  store_sums<L, R, C>(args, row, column, static_cast<int>(left), acc);
}

template <class T, class L, int R, class Next>
inline void slab_rows(const BlockProductArgs& args, std::int64_t row, std::int64_t block,
                      std::int64_t blocks, const WeightBlock<T>* slab, std::int64_t column,
                      Next& next) {
  ActivationRow rows[R];
  for (int r = 0; r < R; ++r) rows[r] = activation_row<L>(args.a, row + r, args.k, block);
  constexpr int kStep = L::template kPairs<T> ? 2 : 1;
  for (int g = 0; g < kGroups && column + g * kColumns < args.n; g += kStep)
    slab_tile<T, L, R, kStep>(args, rows, row, blocks, block == 0, slab + g, column + g * kColumns,
                              next);
}

template <class T, class L, class Next>
void many_rows(const BlockProductArgs& args) {
  static_assert(kSlabBlocks * kGroups * sizeof(WeightBlock<T>) <= kBlockScratchBytes);
  const std::int64_t all = args.k / kBlockValues, stride = all / T::kBlocks * T::kBytes;
  auto* const slab = reinterpret_cast<WeightBlock<T>*>(args.scratch);  // [kSlabBlocks][kGroups]
  // Slabs of about the same size, of whole units.
  const std::int64_t slabs = (all + kSlabBlocks - 1) / kSlabBlocks;
  const std::int64_t most = ((all + slabs - 1) / slabs + T::kBlocks - 1) / T::kBlocks * T::kBlocks;
  for (std::int64_t column = 0; column < args.n; column += kBlockColumns)
    for (std::int64_t block = 0; block < all; block += most) {
      const std::int64_t blocks = all - block < most ? all - block : most;
      for (int g = 0; g < kGroups && column + g * kColumns < args.n; ++g) {
        const std::int64_t j = column + g * kColumns;
        const int columns = args.n - j < kColumns ? static_cast<int>(args.n - j) : int{kColumns};
        for (std::int64_t b = 0; b < blocks; b += T::kBlocks)
          unpack_some<T, L>(args.b + j * stride + (block + b) / T::kBlocks * T::kBytes, stride,
                            columns, slab + b * kGroups + g, kGroups);
      }
      constexpr std::int64_t kTiles = L::template kPairs<T> ? kGroups / 2 : kGroups;
      Next next(args, stride, column, block + most, most,
                (args.m + 3) / 4 * kTiles * ((blocks + kStretch - 1) / kStretch));
      std::int64_t row = 0;
      for (; row + 4 <= args.m; row += 4)
        slab_rows<T, L, 4>(args, row, block, blocks, slab, column, next);
      if (args.m - row == 3) slab_rows<T, L, 3>(args, row, block, blocks, slab, column, next);
      if (args.m - row == 2) slab_rows<T, L, 2>(args, row, block, blocks, slab, column, next);
      if (args.m - row == 1) slab_rows<T, L, 1>(args, row, block, blocks, slab, column, next);
    }
}

template <class L>
void block_product(const BlockProductArgs& args) {
  with_block_type(args.type, [&]<class T>() {
    switch (args.m) {
      case 0:
        return;
      case 1:
        return few_rows<T, L, 1>(args);
      case 2:
        return few_rows<T, L, 2>(args);
      case 3:
        return few_rows<T, L, 3>(args);
      case 4:
        return few_rows<T, L, 4>(args);
      default:
        return args.m <= kRowsThatAsk ? many_rows<T, L, NextSlab<T>>(args)
                                      : many_rows<T, L, NoSlab>(args);
    }
  });
}

}  // namespace tack::kernels::simd
