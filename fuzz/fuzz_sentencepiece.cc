// Any bytes as text of SentencePiece's models: decode(encode(x)) is x but for U+2581, words cover
// the text, a stream gives what decode() does. The first byte picks the model.
#include <cstdlib>

#include <fmt/format.h>

#include "text/sentencepiece.h"
#include "tokenizer_checks.h"

namespace {

using Space = tack::SentencePieceConfig::Space;

tack::SentencePieceConfig pieces() {
  tack::SentencePieceConfig config;
  config.pieces = {{"<unk>", tack::TokenKind::kUnknown},
                   {"<s>", tack::TokenKind::kControl},
                   {"<b>", tack::TokenKind::kUserDefined},
                   {"\u2581\u2581", tack::TokenKind::kUserDefined}};
  for (unsigned b = 0; b < 256; ++b)
    config.pieces.push_back({fmt::format("<0x{:02X}>", b), tack::TokenKind::kByte});
  float score = 0;
  for (const char* text : {"\u2581a", "ab", "\u2581ab", "aa", "aaa", "\u2581", "a", "b", "\u00e9"})
    config.pieces.push_back({text, tack::TokenKind::kText, score -= 1});
  return config;
}

std::unique_ptr<tack::Tokenizer> make(std::uint8_t choice) {
  tack::SentencePieceConfig config = pieces();
  const auto first = static_cast<tack::TokenId>(config.pieces.size()) - 9;
  if ((choice & 1U) != 0) config.model = tack::SentencePieceConfig::Model::kUnigram;
  if ((choice & 2U) != 0) config.cut_user_defined = true;
  if ((choice & 4U) != 0) config.merges = {{first + 6, first + 7}, {first + 6, first + 6}};
  if ((choice & 8U) != 0)
    config.pieces[static_cast<std::size_t>(first) + 2].kind = tack::TokenKind::kUnused;
  if ((choice & 16U) != 0) config.split_words = true;
  config.space = (choice & 32U) != 0 ? Space::kAlways : Space::kNone;
  auto made = tack::make_sentencepiece(std::move(config));
  if (!made) std::abort();
  return *std::move(made);
}

std::string with_spaces(std::string text) {
  for (std::size_t at = 0; (at = text.find("\u2581", at)) != text.npos;) text.replace(at, 3, " ");
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto kTokenizers = [] {
    std::vector<std::unique_ptr<tack::Tokenizer>> all;
    for (std::uint8_t choice = 0; choice < 64; ++choice) all.push_back(make(choice));
    return all;
  }();
  if (size == 0) return 0;
  const std::uint8_t choice = data[0] % 64;
  const tack::Tokenizer& tokenizer = *kTokenizers[choice];
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const tack::Tokens tokens = tokenizer.encode(text);
  // A space in front of every stretch between tokens that are cut out is more than was there.
  const bool exact = (choice & 34U) != 34U;
  const std::string back = tokenizer.decode(tokens.ids);
  if (exact && back != with_spaces(std::string(text))) std::abort();
  tack::StreamDecoder stream(tokenizer);
  std::string streamed;
  for (const tack::TokenId id : tokens.ids) streamed += stream.push(id);
  if (streamed + stream.finish() != back) std::abort();
  check_words(tokenizer, text, tokens);
  if (text.find("<s>") == text.npos && text.find("<unk>") == text.npos &&
      tokenizer.encode_with_special(text).ids != tokens.ids)
    std::abort();
  return 0;
}
