#include "models/byte_bpe_loading.h"

#include <unordered_map>

namespace tack {
namespace {

constexpr std::int64_t kControl = 3, kUserDefined = 4, kUnused = 5;  // llama.cpp's token types

struct PreTokenizerName {
  std::string_view name;
  PreTokenizer kind;
  bool whole_words;
};
constexpr PreTokenizerName kPreTokenizers[] = {
    {"gpt-2", PreTokenizer::kGpt2, false},   {"llama-bpe", PreTokenizer::kLlama3, true},
    {"llama3", PreTokenizer::kLlama3, true}, {"qwen2", PreTokenizer::kQwen2, false},
    {"tekken", PreTokenizer::kTekken, true},
};

}  // namespace

Result<ByteBpeConfig> byte_bpe_from_lists(std::span<const std::string> tokens,
                                          std::span<const std::string> merges,
                                          std::span<const std::int64_t> types,
                                          std::string_view pre_tokenizer, std::string_view where) {
  ByteBpeConfig config;
  const PreTokenizerName* found = nullptr;
  for (const PreTokenizerName& known : kPreTokenizers)
    if (known.name == pre_tokenizer) found = &known;
  if (found == nullptr)
    return fail("{}: pre-tokenizer '{}' is not known (gpt-2, llama-bpe, qwen2, tekken)", where,
                pre_tokenizer);
  config.pre_tokenizer = found->kind;
  config.whole_words = found->whole_words;
  if (!types.empty() && types.size() != tokens.size())
    return fail("{}: {} tokens have {} types", where, tokens.size(), types.size());
  std::unordered_map<std::string_view, TokenId> ids;  // by text as written
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    using Kind = ByteBpeConfig::Kind;
    const std::int64_t type = types.empty() ? 1 : types[i];
    const bool special = type == kControl || type == kUserDefined;
    const Kind kind = special ? Kind::kSpecial : type == kUnused ? Kind::kUnused : Kind::kText;
    config.tokens.push_back({special ? tokens[i] : bytes_of_printable(tokens[i]), kind});
    if (kind == Kind::kText) ids.emplace(tokens[i], static_cast<TokenId>(i));
  }
  config.merges.reserve(merges.size());
  for (const std::string& merge : merges) {
    const auto space = merge.find(' ', 1);
    const std::string_view text = merge;
    const auto left = space == merge.npos ? ids.end() : ids.find(text.substr(0, space));
    const auto right = space == merge.npos ? ids.end() : ids.find(text.substr(space + 1));
    if (left == ids.end() || right == ids.end())
      return fail("{}: merge {}, '{}', does not join two tokens", where, config.merges.size(),
                  merge);
    config.merges.push_back({left->second, right->second});
  }
  return config;
}

Result<ByteBpeConfig> byte_bpe_from_gguf(const GgufFile& file) {
  TACK_TRY(const auto tokens, file.strings("tokenizer.ggml.tokens"));
  TACK_TRY(const auto merges, file.strings("tokenizer.ggml.merges"));
  TACK_TRY(const auto pre, file.string_or("tokenizer.ggml.pre", "gpt-2"));
  std::span<const std::int64_t> types;
  if (const GgufValue* value = file.find("tokenizer.ggml.token_type"))
    if (const auto* list = std::get_if<std::vector<std::int64_t>>(&value->value)) types = *list;
  TACK_TRY(ByteBpeConfig config, byte_bpe_from_lists(tokens, merges, types, pre, file.name()));
  // Files that do not say: Llama 3's texts have a beginning, GPT-2's have none.
  TACK_TRY(const bool begins, file.boolean_or("tokenizer.ggml.add_bos_token",
                                              config.pre_tokenizer == PreTokenizer::kLlama3));
  if (begins) {
    TACK_TRY(const std::int64_t begin, file.integer("tokenizer.ggml.bos_token_id"));
    if (begin < 0 || begin >= static_cast<std::int64_t>(tokens.size()))
      return fail("{}: tokenizer.ggml.bos_token_id is {}, of {} tokens", file.name(), begin,
                  tokens.size());
    config.begin = static_cast<TokenId>(begin);
  }
  return config;
}

}  // namespace tack
