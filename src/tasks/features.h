// Embeddings of labelled rows, and the guard of files made on the way.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/text_encoder.h"
#include "eval/dataset.h"

namespace tack {

// One output of all texts, [texts, width], in batches with a progress bar. Errors: interruption.
Result<std::vector<float>> run_texts(TextEncoder& encoder, std::span<const std::string_view> texts,
                                     std::string_view output, const std::string& label);

// In-scope rows of a data set: [rows, dims] and their labels.
struct Features {
  std::vector<float> values;
  std::vector<std::int32_t> labels;
};
// Errors: interruption.
Result<Features> embed_rows(TextEncoder& encoder, const Dataset& data);

// A file beside the result that is gone when this is: what is evaluated before it may take its
// place, and steps on the way.
class TemporaryFile {
 public:
  TemporaryFile(const std::filesystem::path& out, std::string_view suffix)
      : path_(out.string() + std::string(suffix)) {}
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile();
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace tack
