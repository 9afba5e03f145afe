// safetensors files: an 8-byte little-endian header length, a JSON header, then the tensors.
// https://github.com/huggingface/safetensors (format section of its README)
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "tensor/tensor_view.h"

namespace tack {

class SafetensorsFile {
 public:
  static Result<SafetensorsFile> open(const std::filesystem::path& path);
  static Result<SafetensorsFile> parse(std::span<const std::byte> bytes, std::string_view name);

  // Sorted by name. Types without a DType (F8, U8, BOOL ...) are an error naming the tensor.
  const std::map<std::string, TensorView, std::less<>>& tensors() const { return tensors_; }
  const TensorView* find(std::string_view name) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  friend class SafetensorsParser;
  MappedFile file_;
  std::map<std::string, TensorView, std::less<>> tensors_;
  std::map<std::string, std::string> metadata_;
};

// Writes atomically; f32, f16, bf16, i8..i64, f64 only.
Status write_safetensors(const std::filesystem::path& path,
                         const std::map<std::string, TensorView>& tensors,
                         const std::map<std::string, std::string>& metadata = {});

}  // namespace tack
