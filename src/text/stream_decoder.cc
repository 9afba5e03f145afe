#include <algorithm>

#include "text/tokenizer.h"

namespace tack {
namespace {

// Bytes at the end of `text` that begin a character and lack its rest.
std::size_t unfinished(std::string_view text) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0U) == 0x80U) continue;
    const std::size_t needed = byte >= 0xF5   ? 1
                               : byte >= 0xF0 ? 4
                               : byte >= 0xE0 ? 3
                               : byte >= 0xC2 ? 2
                                              : 1;
    return needed > back ? back : 0;
  }
  return 0;
}

}  // namespace

std::string StreamDecoder::push(TokenId id) {
  // decode() treats only the first token with text differently.
  std::string text = begun_ ? tokenizer_.token_bytes(id) : tokenizer_.decode({&id, 1});
  begun_ = begun_ || !tokenizer_.token_bytes(id).empty();
  text.insert(0, held_);
  const std::size_t keep = unfinished(text);
  held_ = text.substr(text.size() - keep);
  text.resize(text.size() - keep);
  return text;
}

std::string StreamDecoder::finish() {
  return std::exchange(held_, {});
}

}  // namespace tack
