#include "models/tokenizer_json_loading.h"

#include <limits>
#include <optional>

#include "models/byte_bpe_loading.h"
#include "models/merges.h"
#include "models/special_tokens.h"

namespace tack {
namespace {

using Space = SentencePieceConfig::Space;
constexpr std::string_view kSpace = "\u2581";

const Json& member(const Json& object, const char* key) {
  static const Json kNone;
  const auto found = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && found != object.end() ? *found : kNone;
}
std::string text_of(const Json& object, const char* key) {
  const Json& found = member(object, key);
  return found.is_string() ? found.get<std::string>() : std::string();
}
bool flag(const Json& object, const char* key, bool otherwise) {
  const Json& found = member(object, key);
  return found.is_boolean() ? found.get<bool>() : otherwise;
}

// The parts of a normalizer, pre-tokenizer or post-processor: of a Sequence its members, of null
// none.
std::vector<Json> parts_of(const Json& part, const char* list) {
  if (!part.is_object()) return {};
  if (text_of(part, "type") != "Sequence") return {part};
  const Json& members = member(part, list);
  if (!members.is_array()) return {};
  return {members.begin(), members.end()};
}

class Loader {
 public:
  Loader(TokenizerJson file, std::string_view where) : file_(std::move(file)), where_(where) {}

  Result<std::variant<ByteBpeConfig, SentencePieceConfig>> load() {
    const Json& model = member(file_.rest, "model");
    std::string type = text_of(model, "type");
    if (type.empty() && !file_.merges.empty()) type = "BPE";
    if (type != "BPE" && type != "Unigram")
      return fail("{}: model '{}' is not supported; BPE, Unigram and WordPiece are", where_, type);
    if (!text_of(model, "continuing_subword_prefix").empty() ||
        !text_of(model, "end_of_word_suffix").empty())
      return fail("{}: pieces with a prefix or suffix of their own are not supported", where_);
    TACK_RETURN_IF_ERROR(take_tokens(model, type == "Unigram"));
    TACK_RETURN_IF_ERROR(take_frame());
    if (type == "BPE" && byte_level()) return byte_bpe(model);
    return sentencepiece(model, type == "Unigram");
  }

 private:
  bool byte_level() const {
    for (const Json& part : parts_of(member(file_.rest, "pre_tokenizer"), "pretokenizers"))
      if (text_of(part, "type") == "ByteLevel") return true;
    return false;
  }

  Status take_tokens(const Json& model, bool unigram) {
    for (std::size_t i = 0; i < file_.tokens.size(); ++i) {
      std::string& text = file_.tokens[i];
      const TokenKind kind = text.empty() ? TokenKind::kUnused : TokenKind::kText;
      const double score = i < file_.scores.size() ? file_.scores[i] : 0;
      tokens_.push_back({std::move(text), kind, static_cast<float>(score)});
    }
    for (const TokenizerJson::Added& added : file_.added) {
      VocabularyToken& token = tokens_[static_cast<std::size_t>(added.id)];
      token.kind = added.special ? TokenKind::kControl : TokenKind::kUserDefined;
      token.strips_left = added.strips_left;
      token.strips_right = added.strips_right;
    }
    take_frames_as_control(tokens_);
    const Json& id = member(model, "unk_id");
    const std::string unknown = text_of(model, "unk_token");
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      if (unigram ? id.is_number_unsigned() && id.get<std::uint64_t>() == i
                  : !unknown.empty() && tokens_[i].text == unknown)
        tokens_[i].kind = TokenKind::kUnknown;
    }
    return {};
  }

  // TemplateProcessing: "<s> $A" and the like.
  Status take_frame() {
    for (const Json& part : parts_of(member(file_.rest, "post_processor"), "processors")) {
      const std::string type = text_of(part, "type");
      if (type == "ByteLevel") continue;
      if (type != "TemplateProcessing")
        return fail("{}: post-processor '{}' is not supported", where_, type);
      bool before = true;
      for (const Json& item : member(part, "single")) {
        if (item.contains("Sequence")) {
          before = false;
          continue;
        }
        const std::string text = text_of(member(item, "SpecialToken"), "id");
        const auto id = find_special(tokens_, text);
        auto& end = before ? special_.bos : special_.eos;
        if (!id || end)
          return fail("{}: post-processor: '{}' is no special token, or one of several", where_,
                      text);
        end = id;
        (before ? special_.add_bos : special_.add_eos) = true;
      }
    }
    special_.eot = find_end_of_turn(tokens_);
    return {};
  }

  Status take_merges(std::vector<TokenPair>& merges) const {
    MergeReader reader(where_, tokens_.size());
    for (std::size_t i = 0; i < tokens_.size(); ++i)
      reader.add(tokens_[i].text, static_cast<TokenId>(i), tokens_[i].kind);
    merges.reserve(file_.merges.size());
    for (const auto& [left, right] : file_.merges)
      TACK_RETURN_IF_ERROR(reader.read(left, right, merges));
    return {};
  }

  Result<ByteBpeConfig> byte_bpe(const Json& model) {
    ByteBpeConfig config;
    TACK_RETURN_IF_ERROR(take_merges(config.merges));
    config.whole_words = flag(model, "ignore_merges", false);
    for (const Json& part : parts_of(member(file_.rest, "normalizer"), "normalizers")) {
      if (text_of(part, "type") != "NFC")
        return fail("{}: normalizer '{}' is not supported before bytes; NFC is", where_,
                    text_of(part, "type"));
      config.compose = true;
    }
    TACK_TRY(config.pre_tokenizer, words());
    for (VocabularyToken& token : tokens_)
      if (token.kind == TokenKind::kText) token.text = bytes_of_printable(token.text);
    config.tokens = std::move(tokens_);
    config.special = special_;
    return config;
  }

  // How words are cut: ByteLevel's own expression, or one that is named before it.
  Result<PreTokenizer> words() const {
    std::optional<PreTokenizer> words;
    for (const Json& part : parts_of(member(file_.rest, "pre_tokenizer"), "pretokenizers")) {
      const std::string type = text_of(part, "type");
      const std::string expression = text_of(member(part, "pattern"), "Regex");
      if (type == "ByteLevel") {
        if (flag(part, "add_prefix_space", true))
          return fail("{}: pre-tokenizer ByteLevel with add_prefix_space is not supported", where_);
        if (flag(part, "use_regex", true) == words.has_value())
          return fail("{}: words are cut twice, or not at all", where_);
      } else if (type == "Split" && !words && !expression.empty() &&
                 text_of(part, "behavior") == "Isolated" && !flag(part, "invert", false)) {
        TACK_TRY(words, pre_tokenizer_of_expression(expression, where_));
      } else {
        return fail("{}: pre-tokenizer '{}' is not supported in this place", where_, type);
      }
    }
    return words.value_or(PreTokenizer::kGpt2);
  }

  Result<SentencePieceConfig> sentencepiece(const Json& model, bool unigram) {
    SentencePieceConfig config;
    config.model =
        unigram ? SentencePieceConfig::Model::kUnigram : SentencePieceConfig::Model::kBpe;
    config.space = Space::kNone;
    config.cut_user_defined = true;
    config.byte_fallback = flag(model, "byte_fallback", false);
    config.fuse_unknown = unigram || flag(model, "fuse_unk", false);
    if (!unigram && flag(model, "ignore_merges", false))
      return fail("{}: ignore_merges is not supported without bytes", where_);
    TACK_RETURN_IF_ERROR(take_merges(config.merges));
    if (!unigram && config.merges.empty()) return fail("{}: no merges", where_);
    bool replaces = false;
    TACK_RETURN_IF_ERROR(take_normalizer(config, replaces));
    TACK_RETURN_IF_ERROR(take_spaces(config, replaces));
    if (!replaces) return fail("{}: spaces do not become U+2581: of no known kind", where_);
    // Byte pieces are pieces like others in this file.
    for (VocabularyToken& token : tokens_)
      if (token.kind == TokenKind::kText && token.text.size() == 6 &&
          token.text.starts_with("<0x") && config.byte_fallback)
        token.kind = TokenKind::kByte;
    config.pieces = std::move(tokens_);
    config.special = special_;
    return config;
  }

  Status take_normalizer(SentencePieceConfig& config, bool& replaces) const {
    for (const Json& part : parts_of(member(file_.rest, "normalizer"), "normalizers")) {
      const std::string type = text_of(part, "type");
      const std::string what = text_of(member(part, "pattern"), "String");
      if (type == "Prepend" && text_of(part, "prepend") == kSpace && !replaces)
        config.space = Space::kAlways;
      else if (type == "Replace" && what == " " && text_of(part, "content") == kSpace)
        replaces = true;
      else if (type == "Precompiled")
        return fail(
            "{}: normalizer Precompiled is read from a tokenizer.model or spiece.model only: "
            "use that file",
            where_);
      else
        return fail("{}: normalizer '{}' is not supported in this place", where_, type);
    }
    return {};
  }

  Status take_spaces(SentencePieceConfig& config, bool& replaces) const {
    for (const Json& part : parts_of(member(file_.rest, "pre_tokenizer"), "pretokenizers")) {
      const std::string type = text_of(part, "type");
      // Gemma's looks for spaces that the normalizer has replaced already.
      if (type == "Split" && replaces && text_of(member(part, "pattern"), "String") == " ")
        continue;
      if (type != "Metaspace" || text_of(part, "replacement") != kSpace)
        return fail("{}: pre-tokenizer '{}' is not supported in this place", where_, type);
      replaces = true;
      config.split_words = flag(part, "split", true);
      config.space_once = true;
      const std::string scheme = text_of(part, "prepend_scheme");
      if (scheme == "first")
        config.space = Space::kFirst;
      else if (scheme != "never" && flag(part, "add_prefix_space", true))
        config.space = Space::kAlways;
    }
    return {};
  }

  TokenizerJson file_;
  std::string_view where_;
  std::vector<VocabularyToken> tokens_;
  SpecialTokens special_;
};

}  // namespace

Result<std::variant<ByteBpeConfig, SentencePieceConfig>> decoder_from_tokenizer_json(
    TokenizerJson file, std::string_view where) {
  return Loader(std::move(file), where).load();
}

}  // namespace tack
