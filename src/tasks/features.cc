#include "tasks/features.h"

#include <algorithm>
#include <array>
#include <span>
#include <system_error>

#include "base/progress.h"

namespace tack {

Result<std::vector<float>> run_texts(TextEncoder& encoder, std::span<const std::string_view> texts,
                                     std::string_view output, const std::string& label) {
  constexpr std::size_t kBatch = 512;
  const std::array<std::string_view, 1> outputs = {output};
  std::vector<float> values;
  Progress progress(label, static_cast<std::int64_t>(texts.size()), "texts");
  for (std::size_t begin = 0; begin < texts.size(); begin += kBatch) {
    const auto part = texts.subspan(begin, std::min(kBatch, texts.size() - begin));
    TACK_TRY(const Encoded encoded, encoder.run(part, outputs));
    values.insert(values.end(), encoded.outputs[0].begin(), encoded.outputs[0].end());
    progress.advance(static_cast<std::int64_t>(part.size()));
  }
  return values;
}

Result<Features> embed_rows(TextEncoder& encoder, const Dataset& data) {
  std::vector<std::string_view> texts;
  Features features;
  for (std::size_t i = 0; i < data.size(); ++i) {
    if (data.labels[i] < 0) continue;
    texts.push_back(data.texts[i]);
    features.labels.push_back(data.labels[i]);
  }
  TACK_TRY(features.values, run_texts(encoder, texts, "embedding", "embedding"));
  return features;
}

TemporaryFile::~TemporaryFile() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

}  // namespace tack
