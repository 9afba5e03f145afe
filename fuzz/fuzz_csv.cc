// Rows from any bytes in every format; the first byte picks it. All fields that come out are UTF-8.
#include <cstdint>
#include <cstdlib>

#include <utf8proc.h>

#include "eval/rows.h"

namespace {

void check(const std::string& text) {
  const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    utf8proc_int32_t c = 0;
    const utf8proc_ssize_t used = utf8proc_iterate(at, left, &c);
    if (used <= 0) std::abort();
    at += used;
    left -= used;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using tack::RowFormat;
  if (size == 0) return 0;
  constexpr RowFormat kFormats[] = {RowFormat::kCsv, RowFormat::kTsv, RowFormat::kJsonl,
                                    RowFormat::kJson, RowFormat::kText};
  const RowFormat format = kFormats[data[0] % 5];
  const std::vector<std::string> columns = format == RowFormat::kText
                                               ? std::vector<std::string>{"a"}
                                               : std::vector<std::string>{"a", "b"};
  const auto reader = tack::RowReader::parse({reinterpret_cast<const char*>(data + 1), size - 1},
                                             "fuzz", columns, format);
  if (!reader) return 0;
  std::vector<std::string> fields;
  for (;;) {
    const auto any = (*reader)->next(fields);
    if (!any || !*any) return 0;
    if (fields.size() != columns.size()) std::abort();
    for (const std::string& field : fields) check(field);
  }
}
