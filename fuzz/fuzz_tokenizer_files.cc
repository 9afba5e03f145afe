// Any bytes as a file of a tokenizer: it is refused, or the tokenizer works and the
// GGUF that is written of it works the same. The first byte picks the kind of file.
#include <cstdlib>

#include "models/tokenizer_loading.h"

namespace {

constexpr const char* kNames[] = {"tokenizer.json", "tokenizer.model", "tekken.json"};
constexpr std::string_view kText = "a b  ab\n<s>\u2581\u00e9 12";

std::vector<tack::TokenId> through_gguf(const tack::TokenizerConfig& config) {
  tack::GgufWriter writer;
  for (const auto& [key, value] : tack::tokenizer_gguf_keys(config)) writer.set(key, value);
  const auto bytes = writer.to_bytes();
  if (!bytes) std::abort();
  const auto file = tack::GgufFile::parse(std::as_bytes(std::span(*bytes)), "written");
  if (!file) std::abort();
  auto again = tack::tokenizer_config_from_gguf(*file);
  if (!again) std::abort();
  const auto tokenizer = tack::make_tokenizer(*std::move(again));
  if (!tokenizer) std::abort();
  return (*tokenizer)->encode_with_special(kText).ids;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto config = tack::tokenizer_config_from_bytes(bytes, kNames[data[0] % 3]);
  if (!config) return 0;
  const auto tokenizer = tack::make_tokenizer(*config);
  if (!tokenizer) return 0;
  const auto ids = (*tokenizer)->encode_with_special(kText).ids;
  (*tokenizer)->decode(ids);
  (*tokenizer)->encode_pair(kText, kText, 5);
  if (!std::holds_alternative<tack::WordPieceConfig>(*config) && through_gguf(*config) != ids)
    std::abort();
  return 0;
}
