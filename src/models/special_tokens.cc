#include "models/special_tokens.h"

#include <algorithm>

#include <fmt/format.h>

namespace tack {
namespace {

constexpr std::string_view kEndsOfTurns[] = {"<|eot_id|>", "<|im_end|>", "<end_of_turn>", "<|end|>",
                                             "<|eot|>",    "<turn|>",    "<|endofturn|>"};
// Other tokens that begin and end texts and turns.
constexpr std::string_view kFrames[] = {"<s>",
                                        "</s>",
                                        "<bos>",
                                        "<eos>",
                                        "<|endoftext|>",
                                        "<|im_start|>",
                                        "<|turn>",
                                        "<|user|>",
                                        "<|assistant|>",
                                        "<|system|>",
                                        "<start_of_turn>",
                                        "<|begin_of_text|>",
                                        "<|end_of_text|>",
                                        "<|start_header_id|>",
                                        "<|end_header_id|>"};

Status read_id(const GgufFile& file, const std::string& key, std::size_t tokens,
               std::optional<TokenId>& id) {
  if (file.find(key) == nullptr) return {};
  TACK_TRY(const std::int64_t value, file.integer(key));
  if (value < 0 || value >= static_cast<std::int64_t>(tokens))
    return fail("{}: {} is {}, of {} tokens", file.name(), key, value, tokens);
  id = static_cast<TokenId>(value);
  return {};
}

// Whether a list of `settings` has the id.
void mark(const Json& settings, const char* key, std::vector<VocabularyToken>& tokens,
          bool VocabularyToken::* flag) {
  const auto list = settings.find(key);
  if (list == settings.end() || !list->is_array()) return;
  for (const Json& id : *list)
    if (id.is_number_unsigned() && id.get<std::uint64_t>() < tokens.size())
      tokens[id.get<std::size_t>()].*flag = true;
}

}  // namespace

Result<SpecialTokens> special_tokens_from_gguf(const GgufFile& file,
                                               const std::vector<VocabularyToken>& tokens,
                                               const SpecialTokens& defaults) {
  SpecialTokens special;
  TACK_RETURN_IF_ERROR(read_id(file, "tokenizer.ggml.bos_token_id", tokens.size(), special.bos));
  TACK_RETURN_IF_ERROR(read_id(file, "tokenizer.ggml.eos_token_id", tokens.size(), special.eos));
  TACK_RETURN_IF_ERROR(read_id(file, "tokenizer.ggml.eot_token_id", tokens.size(), special.eot));
  if (!special.eot) special.eot = find_end_of_turn(tokens);
  TACK_TRY(special.add_bos, file.boolean_or("tokenizer.ggml.add_bos_token",
                                            defaults.add_bos && special.bos.has_value()));
  TACK_TRY(special.add_eos, file.boolean_or("tokenizer.ggml.add_eos_token",
                                            defaults.add_eos && special.eos.has_value()));
  if (special.add_bos && !special.bos)
    return fail("{}: tokenizer.ggml.add_bos_token is true, and there is no bos_token_id",
                file.name());
  if (special.add_eos && !special.eos)
    return fail("{}: tokenizer.ggml.add_eos_token is true, and there is no eos_token_id",
                file.name());
  return special;
}

void add_special_token_keys(const SpecialTokens& special,
                            std::vector<std::pair<std::string, GgufValue>>& keys) {
  const auto add = [&](const char* name, std::optional<TokenId> id) {
    if (id)
      keys.emplace_back(fmt::format("tokenizer.ggml.{}_token_id", name),
                        GgufValue::u32(static_cast<std::uint32_t>(*id)));
  };
  add("bos", special.bos);
  add("eos", special.eos);
  add("eot", special.eot);
  keys.emplace_back("tokenizer.ggml.add_bos_token", GgufValue::boolean(special.add_bos));
  keys.emplace_back("tokenizer.ggml.add_eos_token", GgufValue::boolean(special.add_eos));
}

std::optional<TokenId> find_special(const std::vector<VocabularyToken>& tokens,
                                    std::string_view text) {
  for (std::size_t i = 0; i < tokens.size(); ++i)
    if ((tokens[i].kind == TokenKind::kControl || tokens[i].kind == TokenKind::kUserDefined) &&
        tokens[i].text == text)
      return static_cast<TokenId>(i);
  return std::nullopt;
}

std::optional<TokenId> find_end_of_turn(const std::vector<VocabularyToken>& tokens) {
  for (const std::string_view name : kEndsOfTurns)
    if (const auto id = find_special(tokens, name)) return id;
  return std::nullopt;
}

void take_frames_as_control(std::vector<VocabularyToken>& tokens) {
  const auto among = [](const auto& names, std::string_view text) {
    return std::ranges::find(names, text) != std::end(names);
  };
  for (VocabularyToken& token : tokens)
    if (token.kind == TokenKind::kUserDefined &&
        (among(kFrames, token.text) || among(kEndsOfTurns, token.text)))
      token.kind = TokenKind::kControl;
}

void add_stripping(const std::vector<VocabularyToken>& tokens, Json& settings) {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].strips_left) settings["strips_left"].push_back(i);
    if (tokens[i].strips_right) settings["strips_right"].push_back(i);
  }
}

void read_stripping(const Json& settings, std::vector<VocabularyToken>& tokens) {
  mark(settings, "strips_left", tokens, &VocabularyToken::strips_left);
  mark(settings, "strips_right", tokens, &VocabularyToken::strips_right);
}

Result<Json> tokenizer_settings(const GgufFile& file) {
  TACK_TRY(const auto text, file.string_or("tack.tokenizer", "{}"));
  TACK_TRY(Json settings, parse_json(text, file.name() + ": tack.tokenizer"));
  if (!settings.is_object()) return fail("{}: tack.tokenizer is no JSON object", file.name());
  return settings;
}

}  // namespace tack
