// Any bytes as documents: views into the text, in order, none empty or with white space at its
// ends.
#include <cstdint>
#include <cstdlib>

#include "eval/documents.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const char* last = text.data();
  for (const std::string_view document : tack::split_documents(text)) {
    if (document.empty() || document.data() < last ||
        document.data() + document.size() > text.data() + text.size() ||
        std::string_view(" \t\r\n").contains(document.front()) ||
        std::string_view(" \t\r\n").contains(document.back()) ||
        document.contains(tack::kEndOfText))
      std::abort();
    last = document.data() + document.size();
  }
  return 0;
}
