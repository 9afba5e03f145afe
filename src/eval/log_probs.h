// Log-probabilities of what follows every token of a text, in a file: what a model of full
// precision says, to measure others against. The format is llama.cpp's (llama-perplexity
// --kl-divergence-base): either program measures against what the other wrote.
//
//   "_logits_", s32 tokens in a chunk, s32 vocabulary, s32 chunks, s32 ids of all chunks;
//   for each chunk, for each of its tokens from the middle on but for the last, the probabilities
//   of the next: f32 step, f32 least, and u16 codes: log p = step * code + least. Of an odd
//   vocabulary one code more. What is e^-16 as probable as the best or less has code 0.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "base/atomic_file.h"
#include "base/mapped_file.h"
#include "base/result.h"

namespace tack {

struct LogProbsShape {
  std::int64_t context = 0;  // tokens in a chunk; the first half is only read
  std::int64_t vocabulary = 0;
  std::int64_t chunks = 0;

  std::int64_t first() const { return context / 2; }           // token with probabilities
  std::int64_t rows() const { return context - 1 - first(); }  // in a chunk
};

// One row as it is stored.
struct LogProbsRow {
  float step = 0, least = 0;
  std::span<const std::uint16_t> codes;

  float at(std::int64_t id) const {
    return step * static_cast<float>(codes[static_cast<std::size_t>(id)]) + least;
  }
};

class LogProbsFile {
 public:
  static Result<LogProbsFile> open(const std::filesystem::path& path);
  // `bytes` must outlive the object; at an address that is a multiple of 2.
  static Result<LogProbsFile> parse(std::span<const std::byte> bytes, std::string_view name);

  const LogProbsShape& shape() const { return shape_; }
  // Of all chunks, in order; each is in the vocabulary.
  const std::vector<std::int32_t>& tokens() const { return tokens_; }
  LogProbsRow row(std::int64_t chunk, std::int64_t row) const;

 private:
  MappedFile file_;
  std::span<const std::byte> rows_;
  LogProbsShape shape_;
  std::vector<std::int32_t> tokens_;
};

// Written as it is measured; complete at commit() only.
class LogProbsWriter {
 public:
  static Result<LogProbsWriter> create(const std::filesystem::path& path,
                                       const LogProbsShape& shape,
                                       std::span<const std::int32_t> tokens);
  Status add(std::span<const float> logits);  // shape.vocabulary of them, finite
  Status commit() { return file_.commit(); }

 private:
  explicit LogProbsWriter(AtomicFile file) : file_(std::move(file)) {}
  AtomicFile file_;
  std::vector<std::uint16_t> row_;
};

}  // namespace tack
