// Any bytes as text of a byte-level vocabulary: decode(encode(x)) is x, words cover the text, and
// asking for special tokens loses nothing but them. The first byte picks the pre-tokenizer.
#include <cstdlib>

#include "text/byte_bpe.h"
#include "tokenizer_checks.h"

namespace {

std::unique_ptr<tack::Tokenizer> make(tack::PreTokenizer kind) {
  tack::ByteBpeConfig config;
  config.pre_tokenizer = kind;
  config.whole_words = kind == tack::PreTokenizer::kLlama3;
  for (int b = 0; b < 256; ++b) config.tokens.push_back({std::string(1, static_cast<char>(b))});
  const auto merge = [&](tack::TokenId left, tack::TokenId right) {
    config.merges.push_back({left, right});
    config.tokens.push_back({config.tokens[static_cast<std::size_t>(left)].text +
                             config.tokens[static_cast<std::size_t>(right)].text});
    return static_cast<tack::TokenId>(config.tokens.size()) - 1;
  };
  const tack::TokenId aa = merge('a', 'a'), ab = merge('a', 'b');
  merge(aa, aa);
  merge(' ', aa);
  merge(ab, ab);
  merge(0xC3, 0xA9);
  merge(' ', ' ');
  config.tokens.push_back({"<s>", tack::TokenKind::kControl});
  auto made = tack::make_byte_bpe(std::move(config));
  if (!made) std::abort();
  return *std::move(made);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::unique_ptr<tack::Tokenizer> kTokenizers[] = {
      make(tack::PreTokenizer::kGpt2), make(tack::PreTokenizer::kLlama3),
      make(tack::PreTokenizer::kQwen2), make(tack::PreTokenizer::kTekken)};
  if (size == 0) return 0;
  const tack::Tokenizer& tokenizer = *kTokenizers[data[0] % 4];
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const tack::Tokens tokens = tokenizer.encode(text);
  if (tokenizer.decode(tokens.ids) != text) std::abort();
  check_words(tokenizer, text, tokens);
  if (text.find("<s>") == text.npos && tokenizer.encode_with_special(text).ids != tokens.ids)
    std::abort();
  return 0;
}
