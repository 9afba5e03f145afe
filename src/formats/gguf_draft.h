// A GGUF that is made of another: its keys and tensors taken as they are, changed or left out, and
// how large it will be before it is written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "formats/gguf.h"

namespace tack {

class GgufDraft {
 public:
  // Replaces the value when the key is there already.
  void set(std::string key, GgufValue value);

  // What `view` looks at must outlive the draft, and what `source` reads (GgufWriter).
  void add_view(std::string name, const TensorView& view);
  void add_source(std::string name, DType dtype, Shape shape, GgufWriter::Source source);
  void add_f32(std::string name, Shape shape, const std::vector<float>& values);

  // Bytes of the file that write() makes. Errors: rows that are no whole number of blocks.
  Result<std::uint64_t> file_bytes() const;
  // A GGUF of the keys alone, in memory.
  Result<std::string> keys_only() const;
  // Atomic.
  Status write(const std::filesystem::path& path) const;

 private:
  struct Tensor {
    std::string name;
    DType dtype;
    Shape shape;
    GgufWriter::Source source;
  };
  std::vector<std::pair<std::string, GgufValue>> keys_;
  std::vector<Tensor> tensors_;
};

}  // namespace tack
