// Importance matrices as files: llama.cpp's (tools/imatrix), which both programs read and write.
//
// A GGUF with general.type "imatrix": `imatrix.datasets` (strings), `imatrix.chunk_count`,
// `imatrix.chunk_size` (u32), and for each weight NAME the f32 tensors NAME.in_sum2 [in], the sums
// of squares of what it read, and NAME.counts [1], the rows that were summed. The older format,
// little-endian and without a header, is read too:
//
//   s32 weights; of each: s32 length, name, s32 chunks, s32 columns, f32 mean square * chunks;
//   then, perhaps: s32 chunks, s32 length, dataset.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

#include "base/result.h"
#include "compress/importance.h"

namespace tack {

// Errors name the file and the tensor: sums without counts, of experts, not finite, negative.
Result<ImportanceMatrix> read_imatrix(const std::filesystem::path& path);
Result<ImportanceMatrix> parse_imatrix(std::span<const std::byte> bytes, std::string_view name);

Status write_imatrix(const ImportanceMatrix& matrix, const std::filesystem::path& path);

}  // namespace tack
