// Rows of any number of labels from any bytes; the first byte picks the format. Sets are ascending
// and within the names.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "eval/label_sets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr tack::RowFormat kFormats[] = {tack::RowFormat::kCsv, tack::RowFormat::kTsv,
                                          tack::RowFormat::kJsonl, tack::RowFormat::kJson};
  tack::DataSource source;
  source.path = "fuzz";
  source.label = "labels";
  source.label_sets = true;
  source.format = kFormats[data[0] & 3];
  if (data[0] & 4) source.separator = ", ";
  const auto rows =
      tack::parse_label_sets({reinterpret_cast<const char*>(data + 1), size - 1}, source, {});
  if (!rows) return 0;
  if (rows->texts.size() != rows->label_sets.size() || rows->label_names.empty()) std::abort();
  const auto names = static_cast<std::int32_t>(rows->label_names.size());
  for (const auto& set : rows->label_sets) {
    if (std::ranges::adjacent_find(set, std::greater_equal{}) != set.end()) std::abort();
    if (!set.empty() && (set.front() < 0 || set.back() >= names)) std::abort();
  }
  return 0;
}
