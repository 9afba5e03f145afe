#include "tasks/features.h"

#include <algorithm>
#include <array>
#include <span>
#include <system_error>

#include "base/progress.h"

namespace tack {

Result<Features> embed_rows(TextEncoder& encoder, const Dataset& data) {
  constexpr std::size_t kBatch = 512;
  constexpr std::array<std::string_view, 1> kOutputs = {"embedding"};
  std::vector<std::string_view> texts;
  Features features;
  for (std::size_t i = 0; i < data.size(); ++i) {
    if (data.labels[i] < 0) continue;
    texts.push_back(data.texts[i]);
    features.labels.push_back(data.labels[i]);
  }
  Progress progress("embedding", static_cast<std::int64_t>(texts.size()), "rows");
  for (std::size_t begin = 0; begin < texts.size(); begin += kBatch) {
    const auto part = std::span(texts).subspan(begin, std::min(kBatch, texts.size() - begin));
    TACK_TRY(const Encoded encoded, encoder.run(part, kOutputs));
    features.values.insert(features.values.end(), encoded.outputs[0].begin(),
                           encoded.outputs[0].end());
    progress.advance(static_cast<std::int64_t>(part.size()));
  }
  return features;
}

TemporaryFile::~TemporaryFile() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

}  // namespace tack
