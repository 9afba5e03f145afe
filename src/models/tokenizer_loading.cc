#include "models/tokenizer_loading.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "base/atomic_file.h"
#include "formats/ranked_tokens.h"
#include "formats/sentencepiece_model.h"
#include "formats/tokenizer_json.h"
#include "models/byte_bpe_loading.h"
#include "models/sentencepiece_loading.h"
#include "models/special_tokens.h"
#include "models/tokenizer_json_loading.h"

namespace tack {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t kMostBytes = std::size_t{1} << 28;  // of a tokenizer's file

// llama.cpp's token types.
constexpr std::int64_t kNormal = 1, kUnused = 5, kControl = 3;

bool flag(const Json& json, const char* key, bool otherwise) {
  const auto it = json.find(key);
  return it != json.end() && it->is_boolean() ? it->get<bool>() : otherwise;
}

bool looks_special(std::string_view piece) {
  return piece.size() > 2 && piece.front() == '[' && piece.back() == ']';
}

Result<WordPieceConfig> wordpiece_from_text(std::string_view text, const std::string& name) {
  TACK_TRY(const Json json, parse_json(text, name));
  return wordpiece_from_tokenizer_json(json, name);
}

// Of tokenizer.json, without reading all of it as Json, which takes long for large vocabularies.
Result<TokenizerConfig> from_tokenizer_json(std::string_view text, const std::string& name) {
  TACK_TRY(TokenizerJson file, TokenizerJson::parse(text, name));
  const Json& model = file.rest["model"];
  if (const auto type = model.find("type"); type != model.end() && *type == "WordPiece")
    return wordpiece_from_text(text, name);
  TACK_TRY(auto config, decoder_from_tokenizer_json(std::move(file), name));
  return std::visit([](auto&& of) { return TokenizerConfig(std::move(of)); }, std::move(config));
}

// tokenizer.model is SentencePiece's message, or of Llama 3 tiktoken's lines.
Result<TokenizerConfig> from_tokenizer_model(std::string_view text, const std::string& name) {
  if (!text.starts_with('\n')) {
    TACK_TRY(RankedTokens ranks, RankedTokens::parse_tiktoken(text, name));
    return byte_bpe_from_llama3(std::move(ranks), name);
  }
  TACK_TRY(SentencePieceModel model, SentencePieceModel::parse(text, name));
  return sentencepiece_from_model(std::move(model), name);
}

Result<TokenizerConfig> from_file(const fs::path& path) {
  TACK_TRY(const std::string bytes, read_file(path, kMostBytes));
  return tokenizer_config_from_bytes(bytes, path);
}

// "bos_token": "<s>", or {"content": "<s>"}.
std::optional<TokenId> named_token(const Json& settings, const char* key,
                                   const std::vector<VocabularyToken>& tokens) {
  auto found = settings.find(key);
  if (found == settings.end()) return std::nullopt;
  Json value = *found;
  if (value.is_object()) value = value.value("content", Json());
  if (!value.is_string()) return std::nullopt;
  return find_special(tokens, value.get<std::string>());
}

// "added_tokens_decoder": {"32000": {"content": "<|end|>", "special": true}}, of which files other
// than tokenizer.json know nothing.
Status add_tokens(const Json& settings, const std::string& where,
                  std::vector<VocabularyToken>& tokens) {
  constexpr std::size_t kMostAdded = 1U << 16U;
  const auto added = settings.find("added_tokens_decoder");
  if (added == settings.end() || !added->is_object()) return {};
  for (const auto& [key, entry] : added->items()) {
    std::size_t id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    const auto content = entry.is_object() ? entry.find("content") : entry.end();
    if (error != std::errc() || end != key.data() + key.size() || !entry.is_object() ||
        content == entry.end() || !content->is_string())
      return fail("{}: added_tokens_decoder: '{}' is no id with a content", where, key);
    if (id >= tokens.size() + kMostAdded)
      return fail("{}: added_tokens_decoder: id {} is far behind the {} tokens", where, id,
                  tokens.size());
    if (id >= tokens.size()) tokens.resize(id + 1, {.text = "", .kind = TokenKind::kUnused});
    VocabularyToken& token = tokens[id];
    if (token.kind == TokenKind::kUnknown) continue;
    token.text = content->get<std::string>();
    token.kind = flag(entry, "special", false) ? TokenKind::kControl : TokenKind::kUserDefined;
    token.strips_left = flag(entry, "lstrip", false);
    token.strips_right = flag(entry, "rstrip", false);
  }
  take_frames_as_control(tokens);
  return {};
}

// What tokenizer_config.json says beats what the vocabulary's file means by itself.
void read_frame(const Json& settings, const std::vector<VocabularyToken>& tokens,
                SpecialTokens& special) {
  if (const auto id = named_token(settings, "bos_token", tokens)) special.bos = id;
  if (const auto id = named_token(settings, "eos_token", tokens)) special.eos = id;
  special.add_bos = flag(settings, "add_bos_token", special.add_bos) && special.bos.has_value();
  special.add_eos = flag(settings, "add_eos_token", special.add_eos) && special.eos.has_value();
  if (!special.eot) special.eot = find_end_of_turn(tokens);
}

// Of a decoder, its tokens; of others nothing.
std::pair<std::vector<VocabularyToken>*, SpecialTokens*> decoder_tokens(TokenizerConfig& config) {
  if (auto* bytes = std::get_if<ByteBpeConfig>(&config)) return {&bytes->tokens, &bytes->special};
  if (auto* pieces = std::get_if<SentencePieceConfig>(&config))
    return {&pieces->pieces, &pieces->special};
  return {};
}

}  // namespace

Result<WordPieceConfig> wordpiece_from_gguf(const GgufFile& file) {
  TACK_TRY(const auto model, file.string("tokenizer.ggml.model"));
  if (model != "bert")
    return fail("{}: tokenizer.ggml.model '{}' is not supported for this architecture (bert)",
                file.name(), model);
  TACK_TRY(const auto tokens, file.strings("tokenizer.ggml.tokens"));
  WordPieceConfig config;
  config.vocab = wordpiece_vocab_from_gguf(tokens);
  TACK_TRY(const Json settings, tokenizer_settings(file));
  config.lowercase = flag(settings, "lowercase", true);
  config.strip_accents = flag(settings, "strip_accents", config.lowercase);
  config.clean_text = flag(settings, "clean_text", true);
  config.split_cjk = flag(settings, "split_cjk", true);
  return config;
}

Result<WordPieceConfig> wordpiece_from_hf(const HuggingFaceDirectory& directory) {
  if (const fs::path path = directory.path / "tokenizer.json"; fs::exists(path)) {
    TACK_TRY(const std::string text, read_file(path, kMostBytes));
    return wordpiece_from_text(text, path.string());
  }
  if (directory.vocab_txt.empty())
    return fail(ErrorCode::kNotFound, "{}: no tokenizer.json and no vocab.txt",
                directory.path.string());
  WordPieceConfig config;
  config.vocab = directory.vocab_txt;
  if (directory.tokenizer_config) {
    config.lowercase = flag(*directory.tokenizer_config, "do_lower_case", true);
    config.split_cjk = flag(*directory.tokenizer_config, "tokenize_chinese_chars", true);
    config.strip_accents = flag(*directory.tokenizer_config, "strip_accents", config.lowercase);
  }
  return config;
}

std::vector<std::pair<std::string, GgufValue>> wordpiece_gguf_keys(const WordPieceConfig& config) {
  std::vector<std::pair<std::string, GgufValue>> keys;
  std::vector<std::int64_t> types;
  types.reserve(config.vocab.size());
  for (const std::string& piece : config.vocab)
    types.push_back(piece.starts_with("[unused") ? kUnused
                    : looks_special(piece)       ? kControl
                                                 : kNormal);
  keys.emplace_back("tokenizer.ggml.model", GgufValue::string("bert"));
  keys.emplace_back("tokenizer.ggml.pre", GgufValue::string("default"));
  keys.emplace_back("tokenizer.ggml.tokens",
                    GgufValue::strings(wordpiece_vocab_to_gguf(config.vocab)));
  keys.emplace_back("tokenizer.ggml.token_type", GgufValue::i32s(std::move(types)));
  const auto id = [&](const char* key, const std::string& piece) {
    const auto it = std::find(config.vocab.begin(), config.vocab.end(), piece);
    if (it != config.vocab.end())
      keys.emplace_back(fmt::format("tokenizer.ggml.{}_token_id", key),
                        GgufValue::u32(static_cast<std::uint32_t>(it - config.vocab.begin())));
  };
  id("unknown", config.unknown);
  id("seperator", config.sep);  // llama.cpp's spelling
  id("padding", config.pad);
  id("cls", config.cls);
  id("bos", config.cls);
  id("eos", config.sep);
  id("mask", config.mask);
  const Json settings = {{"lowercase", config.lowercase},
                         {"strip_accents", config.strip_accents},
                         {"clean_text", config.clean_text},
                         {"split_cjk", config.split_cjk}};
  keys.emplace_back("tack.tokenizer", GgufValue::string(to_text(settings)));
  return keys;
}

Result<TokenizerConfig> tokenizer_config_from_gguf(const GgufFile& file) {
  TACK_TRY(const auto model, file.string("tokenizer.ggml.model"));
  if (model == "bert") return wordpiece_from_gguf(file);
  if (model == "gpt2") return byte_bpe_from_gguf(file);
  if (model == "llama" || model == "t5") return sentencepiece_from_gguf(file);
  return fail("{}: tokenizer.ggml.model '{}' is not supported (bert, gpt2, llama, t5)", file.name(),
              model);
}

Result<TokenizerConfig> tokenizer_config_from_bytes(std::string_view bytes, const fs::path& name) {
  const std::string where = name.string();
  if (name.extension() != ".json") return from_tokenizer_model(bytes, where);
  if (!name.filename().string().starts_with("tekken")) return from_tokenizer_json(bytes, where);
  TACK_TRY(RankedTokens ranks, RankedTokens::parse_tekken(bytes, where));
  return byte_bpe_from_tekken(std::move(ranks), where);
}

Result<TokenizerConfig> tokenizer_config_from_files(const fs::path& path) {
  if (!fs::is_directory(path)) return from_file(path);
  for (const char* name : {"tokenizer.json", "tokenizer.model", "spiece.model", "tekken.json"}) {
    if (!fs::exists(path / name)) continue;
    TACK_TRY(TokenizerConfig config, from_file(path / name));
    const auto [tokens, special] = decoder_tokens(config);
    const fs::path beside = path / "tokenizer_config.json";
    if (tokens == nullptr || !fs::exists(beside)) return config;
    TACK_TRY(const std::string text, read_file(beside, kMostBytes));
    TACK_TRY(const Json settings, parse_json(text, beside.string()));
    if (!settings.is_object()) return fail("{}: not a JSON object", beside.string());
    if (std::string_view(name) != "tokenizer.json")
      TACK_RETURN_IF_ERROR(add_tokens(settings, beside.string(), *tokens));
    read_frame(settings, *tokens, *special);
    return config;
  }
  return fail(ErrorCode::kNotFound,
              "{}: no tokenizer.json, tokenizer.model, spiece.model or tekken.json", path.string());
}

void pad_vocabulary(TokenizerConfig& config, std::int64_t tokens) {
  auto* const list = decoder_tokens(config).first;
  if (list == nullptr) return;
  for (std::size_t id = 0; id < static_cast<std::size_t>(tokens); ++id) {
    if (id == list->size()) list->push_back({.text = "", .kind = TokenKind::kUnused});
    VocabularyToken& token = (*list)[id];
    if (token.text.empty() && token.kind == TokenKind::kUnused)
      token.text = fmt::format("[PAD{}]", id);
  }
}

std::vector<std::pair<std::string, GgufValue>> tokenizer_gguf_keys(const TokenizerConfig& config) {
  if (const auto* bytes = std::get_if<ByteBpeConfig>(&config)) return byte_bpe_gguf_keys(*bytes);
  if (const auto* pieces = std::get_if<SentencePieceConfig>(&config))
    return sentencepiece_gguf_keys(*pieces);
  return wordpiece_gguf_keys(std::get<WordPieceConfig>(config));
}

Result<std::unique_ptr<Tokenizer>> make_tokenizer(TokenizerConfig config) {
  if (auto* bytes = std::get_if<ByteBpeConfig>(&config)) return make_byte_bpe(std::move(*bytes));
  if (auto* pieces = std::get_if<SentencePieceConfig>(&config))
    return make_sentencepiece(std::move(*pieces));
  return make_wordpiece(std::get<WordPieceConfig>(std::move(config)));
}

Result<std::unique_ptr<Tokenizer>> open_tokenizer(const fs::path& path) {
  Result<TokenizerConfig> config = fail("{}: no tokenizer", path.string());
  if (path.extension() == ".gguf") {
    TACK_TRY(const GgufFile file, GgufFile::open(path));
    config = tokenizer_config_from_gguf(file);
  } else {
    config = tokenizer_config_from_files(path);
  }
  if (!config) return std::unexpected(std::move(config).error());
  auto tokenizer = make_tokenizer(*std::move(config));
  if (!tokenizer) return std::unexpected(std::move(tokenizer).error().in(path.string()));
  return tokenizer;
}

}  // namespace tack
