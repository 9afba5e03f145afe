// A file of log-probabilities from any bytes: an error, or rows that lie inside them.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "eval/language_metrics.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::uint16_t> aligned((size + 1) / 2);
  if (size > 0) std::memcpy(aligned.data(), data, size);
  const auto bytes = std::as_bytes(std::span(aligned)).first(size);
  const auto file = tack::LogProbsFile::parse(bytes, "fuzz");
  if (!file) return 0;
  const tack::LogProbsShape& shape = file->shape();
  if (static_cast<std::int64_t>(file->tokens().size()) != shape.chunks * shape.context)
    std::abort();
  tack::LanguageMeter meter;
  const std::vector<float> logits(static_cast<std::size_t>(shape.vocabulary));
  for (std::int64_t chunk = 0; chunk < shape.chunks; ++chunk)
    for (std::int64_t row = 0; row < shape.rows(); ++row) {
      const tack::LogProbsRow base = file->row(chunk, row);
      meter.add(logits, file->tokens()[static_cast<std::size_t>(chunk)], &base);
    }
  (void)meter.metrics();
  return 0;
}
