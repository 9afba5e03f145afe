#include "models/tokenizer_loading.h"

#include <algorithm>

#include <fmt/format.h>

#include "models/byte_bpe_loading.h"

namespace tack {
namespace {

// llama.cpp's token types.
constexpr std::int64_t kNormal = 1, kUnused = 5, kControl = 3;

bool flag(const Json& json, const char* key, bool otherwise) {
  const auto it = json.find(key);
  return it != json.end() && it->is_boolean() ? it->get<bool>() : otherwise;
}

bool looks_special(std::string_view piece) {
  return piece.size() > 2 && piece.front() == '[' && piece.back() == ']';
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> tokenizer_from_gguf(const GgufFile& file) {
  TACK_TRY(const auto model, file.string("tokenizer.ggml.model"));
  if (model == "gpt2") {
    TACK_TRY(ByteBpeConfig config, byte_bpe_from_gguf(file));
    return make_byte_bpe(std::move(config));
  }
  if (model == "llama") return nullptr;  // SentencePiece
  TACK_TRY(WordPieceConfig config, wordpiece_from_gguf(file));
  return make_wordpiece(std::move(config));
}

Result<WordPieceConfig> wordpiece_from_gguf(const GgufFile& file) {
  TACK_TRY(const auto model, file.string("tokenizer.ggml.model"));
  if (model != "bert")
    return fail("{}: tokenizer.ggml.model '{}' is not supported for this architecture (bert)",
                file.name(), model);
  TACK_TRY(const auto tokens, file.strings("tokenizer.ggml.tokens"));
  WordPieceConfig config;
  config.vocab = wordpiece_vocab_from_gguf(tokens);
  TACK_TRY(const auto text, file.string_or("tack.tokenizer", "{}"));
  TACK_TRY(const Json settings, parse_json(text, file.name() + ": tack.tokenizer"));
  config.lowercase = flag(settings, "lowercase", true);
  config.strip_accents = flag(settings, "strip_accents", config.lowercase);
  config.clean_text = flag(settings, "clean_text", true);
  config.split_cjk = flag(settings, "split_cjk", true);
  return config;
}

Result<WordPieceConfig> wordpiece_from_hf(const HuggingFaceDirectory& directory) {
  if (directory.tokenizer)
    return wordpiece_from_tokenizer_json(*directory.tokenizer,
                                         (directory.path / "tokenizer.json").string());
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

}  // namespace tack
