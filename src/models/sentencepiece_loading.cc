#include "models/sentencepiece_loading.h"

#include <unordered_map>

#include <fmt/format.h>

#include "models/merges.h"
#include "models/special_tokens.h"

namespace tack {
namespace {

using Model = SentencePieceConfig::Model;
using Space = SentencePieceConfig::Space;

Result<TokenKind> kind_of(std::int64_t type, std::size_t piece, std::string_view where) {
  if (type < 1 || type > 6) return fail("{}: piece {} has type {}", where, piece, type);
  return static_cast<TokenKind>(type);
}

template <class List>
Result<const List*> list_of(const GgufFile& file, const char* key, std::size_t size) {
  const GgufValue* value = file.find(key);
  const List* list = value == nullptr ? nullptr : std::get_if<List>(&value->value);
  if (list == nullptr || list->size() != size)
    return fail("{}: {} is not a list of {} numbers", file.name(), key, size);
  return list;
}

// Of a file that was written here: others have merges that llama.cpp does not read.
Status read_merges(const GgufFile& file, SentencePieceConfig& config) {
  TACK_TRY(const auto merges, file.strings("tokenizer.ggml.merges"));
  const std::string where = file.name();
  MergeReader reader(where, config.pieces.size());
  for (std::size_t i = 0; i < config.pieces.size(); ++i)
    reader.add(config.pieces[i].text, static_cast<TokenId>(i), config.pieces[i].kind);
  for (const std::string& merge : merges) TACK_RETURN_IF_ERROR(reader.read(merge, config.merges));
  return {};
}

Status read_charsmap(const GgufFile& file, SentencePieceConfig& config) {
  const GgufValue* value = file.find("tokenizer.ggml.precompiled_charsmap");
  if (value == nullptr) return {};
  if (const auto* bytes = std::get_if<std::vector<std::int64_t>>(&value->value)) {
    for (const std::int64_t byte : *bytes) config.precompiled_charsmap += static_cast<char>(byte);
    return {};
  }
  return fail("{}: tokenizer.ggml.precompiled_charsmap is no list of bytes", file.name());
}

constexpr std::pair<Space, const char*> kSpaces[] = {
    {Space::kNone, "none"}, {Space::kFirst, "first"}, {Space::kAlways, "always"}};

void read_settings(const Json& settings, SentencePieceConfig& config) {
  const auto flag = [&](const char* key, bool& value) {
    value = settings.value(key, Json(value)) == true;
  };
  flag("split_words", config.split_words);
  flag("space_once", config.space_once);
  flag("byte_fallback", config.byte_fallback);
  flag("fuse_unknown", config.fuse_unknown);
  flag("cut_user_defined", config.cut_user_defined);
  for (const auto& [space, name] : kSpaces)
    if (settings.value("space", Json()) == name) config.space = space;
  read_stripping(settings, config.pieces);
}

Json settings_of(const SentencePieceConfig& config) {
  const SentencePieceConfig usual;
  Json settings = Json::object();
  const auto flag = [&](const char* key, bool value, bool otherwise) {
    if (value != otherwise) settings[key] = value;
  };
  flag("split_words", config.split_words, usual.split_words);
  flag("space_once", config.space_once, usual.space_once);
  flag("byte_fallback", config.byte_fallback, usual.byte_fallback);
  flag("fuse_unknown", config.fuse_unknown, usual.fuse_unknown);
  flag("cut_user_defined", config.cut_user_defined, usual.cut_user_defined);
  flag("by_merges", !config.merges.empty(), false);
  if (config.space == Space::kFirst) settings["space"] = "first";
  add_stripping(config.pieces, settings);
  return settings;
}

// Of every piece that merges make, minus the place of the first that makes it: llama.cpp merges the
// pair with the best score.
std::vector<double> scores_of(const SentencePieceConfig& config) {
  std::vector<double> scores;
  for (const VocabularyToken& piece : config.pieces) scores.push_back(piece.score);
  if (config.merges.empty()) return scores;
  std::unordered_map<std::string_view, std::size_t> ids;
  for (std::size_t i = 0; i < config.pieces.size(); ++i) ids.emplace(config.pieces[i].text, i);
  std::ranges::fill(scores, -static_cast<double>(config.merges.size()));
  for (std::size_t i = config.merges.size(); i-- > 0;) {
    const auto [left, right] = config.merges[i];
    const std::string joined = config.pieces[static_cast<std::size_t>(left)].text +
                               config.pieces[static_cast<std::size_t>(right)].text;
    if (const auto found = ids.find(joined); found != ids.end())
      scores[found->second] = -static_cast<double>(i);
  }
  return scores;
}

}  // namespace

Result<SentencePieceConfig> sentencepiece_from_gguf(const GgufFile& file) {
  TACK_TRY(const auto model, file.string("tokenizer.ggml.model"));
  TACK_TRY(const auto tokens, file.strings("tokenizer.ggml.tokens"));
  TACK_TRY(const auto* const scores,
           list_of<std::vector<double>>(file, "tokenizer.ggml.scores", tokens.size()));
  TACK_TRY(const auto* const types,
           list_of<std::vector<std::int64_t>>(file, "tokenizer.ggml.token_type", tokens.size()));
  SentencePieceConfig config;
  config.model = model == "t5" ? Model::kUnigram : Model::kBpe;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    TACK_TRY(const TokenKind kind, kind_of((*types)[i], i, file.name()));
    config.pieces.push_back({tokens[i], kind, static_cast<float>((*scores)[i])});
  }
  take_frames_as_control(config.pieces);
  TACK_RETURN_IF_ERROR(read_charsmap(file, config));
  TACK_TRY(config.squeeze_spaces,
           file.boolean_or("tokenizer.ggml.remove_extra_whitespaces", false));
  TACK_TRY(const bool space, file.boolean_or("tokenizer.ggml.add_space_prefix", true));
  config.space = space ? Space::kAlways : Space::kNone;
  TACK_TRY(const Json settings, tokenizer_settings(file));
  read_settings(settings, config);
  if (settings.value("by_merges", Json(false)) == true)
    TACK_RETURN_IF_ERROR(read_merges(file, config));
  SpecialTokens defaults;
  defaults.add_bos = config.model == Model::kBpe;
  defaults.add_eos = config.model == Model::kUnigram;
  TACK_TRY(config.special, special_tokens_from_gguf(file, config.pieces, defaults));
  return config;
}

std::vector<std::pair<std::string, GgufValue>> sentencepiece_gguf_keys(
    const SentencePieceConfig& config) {
  std::vector<std::string> tokens, merges;
  std::vector<std::int64_t> types;
  for (const VocabularyToken& piece : config.pieces) {
    tokens.push_back(piece.text);
    types.push_back(static_cast<std::int64_t>(piece.kind));
  }
  for (const auto& [left, right] : config.merges)
    merges.push_back(tokens[static_cast<std::size_t>(left)] + " " +
                     tokens[static_cast<std::size_t>(right)]);
  std::vector<std::pair<std::string, GgufValue>> keys;
  keys.emplace_back("tokenizer.ggml.model",
                    GgufValue::string(config.model == Model::kBpe ? "llama" : "t5"));
  keys.emplace_back("tokenizer.ggml.pre", GgufValue::string("default"));
  keys.emplace_back("tokenizer.ggml.tokens", GgufValue::strings(std::move(tokens)));
  keys.emplace_back("tokenizer.ggml.scores", GgufValue::f32s(scores_of(config)));
  keys.emplace_back("tokenizer.ggml.token_type", GgufValue::i32s(std::move(types)));
  if (!merges.empty())
    keys.emplace_back("tokenizer.ggml.merges", GgufValue::strings(std::move(merges)));
  keys.emplace_back("tokenizer.ggml.add_space_prefix",
                    GgufValue::boolean(config.space != Space::kNone));
  keys.emplace_back("tokenizer.ggml.remove_extra_whitespaces",
                    GgufValue::boolean(config.squeeze_spaces));
  if (!config.precompiled_charsmap.empty()) {
    const std::string& map = config.precompiled_charsmap;
    keys.emplace_back("tokenizer.ggml.precompiled_charsmap",
                      GgufValue::i8s({map.begin(), map.end()}));
  }
  for (std::size_t i = 0; i < config.pieces.size(); ++i)
    if (config.pieces[i].kind == TokenKind::kUnknown) {
      keys.emplace_back("tokenizer.ggml.unknown_token_id",
                        GgufValue::u32(static_cast<std::uint32_t>(i)));
      break;
    }
  add_special_token_keys(config.special, keys);
  if (const Json settings = settings_of(config); !settings.empty())
    keys.emplace_back("tack.tokenizer", GgufValue::string(to_text(settings)));
  return keys;
}

Result<SentencePieceConfig> sentencepiece_from_model(SentencePieceModel model,
                                                     std::string_view where) {
  if (model.model_type != 1 && model.model_type != 2)
    return fail("{}: a SentencePiece model of type {}; only unigram (1) and BPE (2) are read",
                where, model.model_type);
  if (model.whitespace_as_suffix)
    return fail("{}: spaces go behind words, which is not supported", where);
  if (!model.escape_whitespaces)
    return fail("{}: spaces are not written as U+2581, which is not supported", where);
  SentencePieceConfig config;
  config.model = model.model_type == 1 ? Model::kUnigram : Model::kBpe;
  config.byte_fallback = model.byte_fallback;
  config.space = model.add_dummy_prefix ? Space::kAlways : Space::kNone;
  config.squeeze_spaces = model.remove_extra_whitespaces;
  config.precompiled_charsmap = std::move(model.precompiled_charsmap);
  for (std::size_t i = 0; i < model.pieces.size(); ++i) {
    SentencePieceModel::Piece& piece = model.pieces[i];
    TACK_TRY(const TokenKind kind, kind_of(piece.type, i, where));
    config.pieces.push_back({std::move(piece.text), kind, piece.score});
  }
  take_frames_as_control(config.pieces);
  const auto id = [&](std::int64_t value) -> std::optional<TokenId> {
    if (value < 0 || value >= static_cast<std::int64_t>(config.pieces.size())) return std::nullopt;
    return static_cast<TokenId>(value);
  };
  config.special.bos = id(model.bos_id);
  config.special.eos = id(model.eos_id);
  config.special.eot = find_end_of_turn(config.pieces);
  config.special.add_bos = config.model == Model::kBpe && config.special.bos.has_value();
  config.special.add_eos = config.model == Model::kUnigram && config.special.eos.has_value();
  return config;
}

}  // namespace tack
