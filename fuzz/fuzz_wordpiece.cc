// Any text: ids inside the vocabulary, the limit kept, what was cut counted.
#include <cstdint>
#include <cstdlib>

#include "text/wordpiece.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto tokenizer = [] {
    tack::WordPieceConfig config;
    config.vocab = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    for (char c = 'a'; c <= 'z'; ++c) {
      config.vocab.push_back(std::string(1, c));
      config.vocab.push_back("##" + std::string(1, c));
    }
    for (const char* piece : {"the", "##ing", "##er", "\u6771", "\u00df", "!", ".", "##\u0436"})
      config.vocab.emplace_back(piece);
    return *tack::make_wordpiece(std::move(config));
  }();
  if (size < 1) return 0;
  const std::int64_t limit = data[0];
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  const tack::Tokens all = tokenizer->encode(text), cut = tokenizer->encode(text, limit);
  for (tack::TokenId id : all.ids)
    if (id < 0 || id >= tokenizer->vocab_size()) std::abort();
  if (limit >= 2 && static_cast<std::int64_t>(cut.ids.size()) > limit) std::abort();
  if (cut.ids.size() + static_cast<std::size_t>(cut.truncated) != all.ids.size()) std::abort();
  std::vector<tack::Word> words;
  if (tokenizer->encode_words(text, limit, words).ids != cut.ids) std::abort();
  std::int64_t at = 0;
  for (const tack::Word& word : words) {
    if (word.begin < at || word.end <= word.begin) std::abort();
    if (word.token >= static_cast<std::int64_t>(cut.ids.size())) std::abort();
    at = word.end;
  }
  if (at > static_cast<std::int64_t>(text.size())) std::abort();
  const std::size_t half = text.size() / 2;
  const tack::Tokens pair = tokenizer->encode_pair(text.substr(0, half), text.substr(half), limit);
  if (pair.ids.size() != pair.type_ids.size()) std::abort();
  if (limit >= 3 && static_cast<std::int64_t>(pair.ids.size()) > limit) std::abort();
  return 0;
}
