// A file mapped read-only into memory. Move-only; the mapping lives as long as the object.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

#include "base/result.h"

namespace tack {

class MappedFile {
 public:
  // Errors: kNotFound when the path does not exist, kFailed otherwise (directory, no permission).
  // An empty file maps to an empty span.
  static Result<MappedFile> open(const std::filesystem::path& path);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }
  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }
  const std::filesystem::path& path() const { return path_; }

  // Tells the kernel that the pages under `range` are not needed soon: they leave the resident set
  // and are read again on the next touch. `range` lies inside bytes().
  static void release_pages(std::span<const std::byte> range);

 private:
  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

}  // namespace tack
