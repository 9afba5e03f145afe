#include "models/byte_bpe_loading.h"

#include <algorithm>

#include <fmt/format.h>

#include "models/merges.h"
#include "models/special_tokens.h"

namespace tack {
namespace {

struct PreTokenizerName {
  std::string_view name;
  PreTokenizer kind;
  bool whole_words;
};
// The first name of a kind is the one that is written.
constexpr PreTokenizerName kPreTokenizers[] = {
    {"gpt-2", PreTokenizer::kGpt2, false},   {"llama-bpe", PreTokenizer::kLlama3, true},
    {"llama3", PreTokenizer::kLlama3, true}, {"qwen2", PreTokenizer::kQwen2, false},
    {"tekken", PreTokenizer::kTekken, true},
};
constexpr std::string_view kKnown = "gpt-2, llama-bpe, qwen2, tekken";

struct Expression {
  std::string_view text;
  PreTokenizer kind;
};
constexpr Expression kExpressions[] = {
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
     PreTokenizer::kGpt2},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     PreTokenizer::kLlama3},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     PreTokenizer::kQwen2},
    {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     PreTokenizer::kTekken},
};

// Meta's names of the special tokens behind the 128,000 of text.
std::string llama3_special(std::size_t i) {
  constexpr std::string_view kNames[] = {"<|begin_of_text|>",
                                         "<|end_of_text|>",
                                         "<|reserved_special_token_0|>",
                                         "<|reserved_special_token_1|>",
                                         "<|finetune_right_pad_id|>",
                                         "<|reserved_special_token_2|>",
                                         "<|start_header_id|>",
                                         "<|end_header_id|>",
                                         "<|eom_id|>",
                                         "<|eot_id|>",
                                         "<|python_tag|>"};
  if (i < std::size(kNames)) return std::string(kNames[i]);
  return fmt::format("<|reserved_special_token_{}|>", i - 8);
}

// The special tokens of files that do not list them (tekken.json up to version 3).
constexpr std::string_view kTekkenSpecials[] = {"<unk>",
                                                "<s>",
                                                "</s>",
                                                "[INST]",
                                                "[/INST]",
                                                "[AVAILABLE_TOOLS]",
                                                "[/AVAILABLE_TOOLS]",
                                                "[TOOL_RESULTS]",
                                                "[/TOOL_RESULTS]",
                                                "[TOOL_CALLS]",
                                                "[IMG]",
                                                "<pad>",
                                                "[IMG_BREAK]",
                                                "[IMG_END]",
                                                "[PREFIX]",
                                                "[MIDDLE]",
                                                "[SUFFIX]",
                                                "[SYSTEM_PROMPT]",
                                                "[/SYSTEM_PROMPT]",
                                                "[TOOL_CONTENT]"};

TokenKind kind_of(std::int64_t type) {
  switch (type) {
    case static_cast<std::int64_t>(TokenKind::kText):
      return TokenKind::kText;
    case static_cast<std::int64_t>(TokenKind::kUnknown):
      return TokenKind::kUnknown;
    case static_cast<std::int64_t>(TokenKind::kControl):
      return TokenKind::kControl;
    case static_cast<std::int64_t>(TokenKind::kUserDefined):
      return TokenKind::kUserDefined;
    default:
      return TokenKind::kUnused;
  }
}

}  // namespace

Result<PreTokenizer> pre_tokenizer_of_expression(std::string_view expression,
                                                 std::string_view where) {
  for (const Expression& known : kExpressions)
    if (known.text == expression) return known.kind;
  return fail("{}: words are cut by an expression that is not known ({}): {}", where, kKnown,
              expression.substr(0, 200));
}

Result<ByteBpeConfig> byte_bpe_from_lists(std::span<const std::string> tokens,
                                          std::span<const std::string> merges,
                                          std::span<const std::int64_t> types,
                                          std::string_view pre_tokenizer, std::string_view where) {
  ByteBpeConfig config;
  const auto* const found =
      std::ranges::find(kPreTokenizers, pre_tokenizer, &PreTokenizerName::name);
  if (found == std::end(kPreTokenizers))
    return fail("{}: pre-tokenizer '{}' is not known ({})", where, pre_tokenizer, kKnown);
  config.pre_tokenizer = found->kind;
  config.whole_words = found->whole_words;
  if (!types.empty() && types.size() != tokens.size())
    return fail("{}: {} tokens have {} types", where, tokens.size(), types.size());
  MergeReader reader(where, tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const TokenKind kind = types.empty() ? TokenKind::kText : kind_of(types[i]);
    const bool text = kind == TokenKind::kText;
    config.tokens.push_back({text ? bytes_of_printable(tokens[i]) : tokens[i], kind});
    reader.add(text ? tokens[i] : printable_of_bytes(tokens[i]), static_cast<TokenId>(i), kind);
  }
  config.merges.reserve(merges.size());
  for (const std::string& merge : merges) TACK_RETURN_IF_ERROR(reader.read(merge, config.merges));
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
  take_frames_as_control(config.tokens);
  // Files that do not say: texts of Llama 3 and Tekken have a beginning, GPT-2's have none.
  SpecialTokens defaults;
  defaults.add_bos = config.whole_words;
  TACK_TRY(config.special, special_tokens_from_gguf(file, config.tokens, defaults));
  TACK_TRY(const Json settings, tokenizer_settings(file));
  read_stripping(settings, config.tokens);
  config.merge_by_id = settings.value("merge_by_id", Json(false)) == true;
  config.whole_words = settings.value("whole_words", Json(config.whole_words)) == true;
  config.compose = settings.value("nfc", Json(false)) == true;
  return config;
}

std::vector<std::pair<std::string, GgufValue>> byte_bpe_gguf_keys(const ByteBpeConfig& config) {
  std::vector<std::string> tokens, merges;
  std::vector<std::int64_t> types;
  for (const VocabularyToken& token : config.tokens) {
    tokens.push_back(token.kind == TokenKind::kText ? printable_of_bytes(token.text) : token.text);
    types.push_back(static_cast<std::int64_t>(token.kind));
  }
  const auto& pairs = config.merge_by_id ? merges_by_id(config.tokens) : config.merges;
  for (const auto& [left, right] : pairs)
    merges.push_back(printable_of_bytes(config.tokens[static_cast<std::size_t>(left)].text) + " " +
                     printable_of_bytes(config.tokens[static_cast<std::size_t>(right)].text));
  const auto* const known =
      std::ranges::find(kPreTokenizers, config.pre_tokenizer, &PreTokenizerName::kind);
  Json settings = Json::object();
  add_stripping(config.tokens, settings);
  if (config.merge_by_id) settings["merge_by_id"] = true;
  if (config.compose) settings["nfc"] = true;
  if (config.whole_words != known->whole_words) settings["whole_words"] = config.whole_words;

  std::vector<std::pair<std::string, GgufValue>> keys;
  keys.emplace_back("tokenizer.ggml.model", GgufValue::string("gpt2"));
  keys.emplace_back("tokenizer.ggml.pre", GgufValue::string(std::string(known->name)));
  keys.emplace_back("tokenizer.ggml.tokens", GgufValue::strings(std::move(tokens)));
  keys.emplace_back("tokenizer.ggml.token_type", GgufValue::i32s(std::move(types)));
  keys.emplace_back("tokenizer.ggml.merges", GgufValue::strings(std::move(merges)));
  add_special_token_keys(config.special, keys);
  if (!settings.empty()) keys.emplace_back("tack.tokenizer", GgufValue::string(to_text(settings)));
  return keys;
}

Result<ByteBpeConfig> byte_bpe_from_tekken(RankedTokens file, std::string_view where) {
  ByteBpeConfig config;
  TACK_TRY(config.pre_tokenizer, pre_tokenizer_of_expression(file.pattern, where));
  config.merge_by_id = config.whole_words = true;
  const bool listed = std::ranges::any_of(file.specials, [](const auto& s) { return !s.empty(); });
  for (std::size_t i = 0; i < file.specials.size(); ++i) {
    std::string name = std::move(file.specials[i]);
    if (!listed && i < std::size(kTekkenSpecials)) name = kTekkenSpecials[i];
    if (name.empty()) name = fmt::format("<SPECIAL_{}>", i);
    config.tokens.push_back({std::move(name), TokenKind::kControl});
  }
  for (std::string& bytes : file.tokens) config.tokens.push_back({std::move(bytes)});
  config.special.bos = find_special(config.tokens, "<s>");
  config.special.eos = find_special(config.tokens, "</s>");
  config.special.add_bos = config.special.bos.has_value();
  return config;
}

Result<ByteBpeConfig> byte_bpe_from_llama3(RankedTokens file, std::string_view where) {
  if (file.tokens.size() != 128'000)
    return fail(
        "{}: tiktoken's ranks of {} tokens; only Llama 3's 128000 are known, since the file "
        "does not say how words are cut",
        where, file.tokens.size());
  ByteBpeConfig config;
  config.pre_tokenizer = PreTokenizer::kLlama3;
  config.merge_by_id = config.whole_words = true;
  for (std::string& bytes : file.tokens) config.tokens.push_back({std::move(bytes)});
  for (std::size_t i = 0; i < 256; ++i)
    config.tokens.push_back({llama3_special(i), TokenKind::kControl});
  config.special.bos = find_special(config.tokens, "<|begin_of_text|>");
  config.special.eos = find_special(config.tokens, "<|end_of_text|>");
  config.special.eot = find_special(config.tokens, "<|eot_id|>");
  config.special.add_bos = true;
  return config;
}

}  // namespace tack
