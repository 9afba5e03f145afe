// Tagged texts from any bytes; the first byte picks the format. Spans lie in their text, in order.
#include <cstdint>
#include <cstdlib>

#include "eval/tagged.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  tack::DataSource source;
  source.path = "fuzz";
  source.label = data[0] & 2 ? "label" : "";
  source.spans = "spans";
  source.format = data[0] & 1 ? tack::RowFormat::kConll : tack::RowFormat::kJsonl;
  const auto rows =
      tack::parse_tagged({reinterpret_cast<const char*>(data + 1), size - 1}, source, {});
  if (!rows) return 0;
  if (rows->texts.size() != rows->spans.size() || rows->texts.size() != rows->labels.size())
    std::abort();
  for (std::size_t i = 0; i < rows->size(); ++i) {
    std::int64_t at = 0;
    for (const tack::Span& span : rows->spans[i]) {
      if (span.begin < at || span.end <= span.begin || span.name.empty()) std::abort();
      at = span.end;
    }
    if (at > static_cast<std::int64_t>(rows->texts[i].size())) std::abort();
  }
  return 0;
}
