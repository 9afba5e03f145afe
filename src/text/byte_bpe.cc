#include "text/byte_bpe.h"

#include <array>
#include <unordered_map>

#include <utf8proc.h>

#include "text/flat_table.h"
#include "text/merging.h"
#include "text/unicode.h"

namespace tack {
namespace {

// The character that stands for each byte: printable Latin-1 for itself, others from U+0100 on.
const std::array<std::int32_t, 256>& printable() {
  static const auto kTable = [] {
    std::array<std::int32_t, 256> table{};
    std::int32_t next = 256;
    for (std::int32_t b = 0; b < 256; ++b) {
      const bool itself = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      table[static_cast<std::size_t>(b)] = itself ? b : next++;
    }
    return table;
  }();
  return kTable;
}

TextTable table_of(const std::vector<VocabularyToken>& tokens) {
  TextTable table(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i)
    if (tokens[i].kind == TokenKind::kText) table.add(tokens[i].text, static_cast<TokenId>(i));
  return table;
}

class ByteBpe final : public DecoderTokenizer {
 public:
  Status init(ByteBpeConfig config);

  std::string decode(std::span<const TokenId> ids) const override {
    std::string text;
    for (const TokenId id : ids)
      if (has_text(id)) text += at(id).text;
    return text;
  }
  std::string token_bytes(TokenId id) const override {
    return has_text(id) ? at(id).text : std::string();
  }

 protected:
  void append(std::string_view text, bool /*first*/, std::vector<TokenId>& ids) const override {
    std::string owned;
    if (compose_) text = owned = composed(text);
    while (!text.empty()) {
      const std::size_t bytes = first_word(pre_tokenizer_, text);
      append_word(text.substr(0, bytes), ids);
      text.remove_prefix(bytes);
    }
  }

  void append_words(std::string_view text, bool first, std::vector<TokenId>& ids,
                    std::vector<Word>& words) const override {
    const auto add = [&](std::size_t begin, std::size_t end) {
      words.push_back({static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end),
                       static_cast<std::int64_t>(ids.size())});
    };
    // Where composition changes the text, words have no place in it.
    if (compose_ && composed(text) != text) {
      add(0, text.size());
      return append(text, first, ids);
    }
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t bytes = first_word(pre_tokenizer_, text.substr(i));
      add(i, i + bytes);
      append_word(text.substr(i, bytes), ids);
      i += bytes;
    }
  }

 private:
  bool has_text(TokenId id) const {
    return has(id) && (at(id).kind == TokenKind::kText || at(id).kind == TokenKind::kUserDefined);
  }

  void append_word(std::string_view word, std::vector<TokenId>& ids) const {
    const TokenId id = by_bytes_.find(word);
    if (id < 0) return merge(word, ids);
    if (whole_words_)
      ids.push_back(id);
    else
      whole_.append(id, ids, [&](std::vector<TokenId>& to) { merge(word, to); });
  }

  void merge(std::string_view word, std::vector<TokenId>& ids) const {
    std::array<Part, kShortWord> few;
    std::vector<Part> many;
    if (word.size() > few.size()) many.resize(word.size());
    const std::span<Part> parts =
        many.empty() ? std::span(few).first(word.size()) : std::span(many);
    for (std::size_t i = 0; i < word.size(); ++i)
      parts[i] = {single_[static_cast<unsigned char>(word[i])], i, 1};
    const std::size_t count = merge_parts(
        parts, [this](const Part& a, const Part& b) { return merges_.find(a.id, b.id); });
    for (const Part& part : parts.first(count)) ids.push_back(part.id);
  }

  PreTokenizer pre_tokenizer_ = PreTokenizer::kGpt2;
  bool whole_words_ = false, compose_ = false;
  TextTable by_bytes_;
  PairTable merges_;
  std::array<TokenId, 256> single_{};
  WholeWords whole_;
};

Status ByteBpe::init(ByteBpeConfig config) {
  pre_tokenizer_ = config.pre_tokenizer;
  whole_words_ = config.whole_words;
  compose_ = config.compose;
  if (config.merge_by_id) config.merges = merges_by_id(config.tokens);
  TACK_RETURN_IF_ERROR(adopt(std::move(config.tokens), config.special, true));
  by_bytes_ = TextTable(tokens().size());
  single_.fill(-1);
  for (TokenId id = 0; id < vocab_size(); ++id) {
    if (at(id).kind != TokenKind::kText) continue;
    const std::string& bytes = at(id).text;
    if (const TokenId other = by_bytes_.add(bytes, id); other >= 0)
      return fail("tokens {} and {} are the same text", other, id);
    if (bytes.size() == 1) single_[static_cast<unsigned char>(bytes[0])] = id;
  }
  for (std::size_t b = 0; b < single_.size(); ++b)
    if (single_[b] < 0) return fail("no token for the byte 0x{:02x}", b);
  // What merges into a user-defined token was cut out before, but files have such merges.
  for (TokenId id = 0; id < vocab_size(); ++id)
    if (at(id).kind == TokenKind::kUserDefined) by_bytes_.add(at(id).text, id);
  whole_ = WholeWords(tokens().size());
  merges_ = PairTable(config.merges.size());
  std::string joined;
  for (std::size_t i = 0; i < config.merges.size(); ++i) {
    const auto [left, right] = config.merges[i];
    joined.assign(token(left)).append(token(right));
    const TokenId id = by_bytes_.find(joined);
    if (id < 0)
      return fail("merge {} joins tokens {} and {} into what is no token", i, left, right);
    merges_.add(left, right, {config.merge_by_id ? id : static_cast<std::int32_t>(i), id});
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> make_byte_bpe(ByteBpeConfig config) {
  auto made = std::make_unique<ByteBpe>();
  TACK_RETURN_IF_ERROR(made->init(std::move(config)));
  return made;
}

std::vector<TokenPair> merges_by_id(const std::vector<VocabularyToken>& tokens) {
  const TextTable table = table_of(tokens);
  std::vector<TokenPair> merges;
  for (const VocabularyToken& token : tokens) {
    if (token.kind != TokenKind::kText) continue;
    const std::string_view bytes = token.text;
    for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
      const TokenId left = table.find(bytes.substr(0, cut)), right = table.find(bytes.substr(cut));
      if (left >= 0 && right >= 0) merges.push_back({left, right});
    }
  }
  return merges;
}

std::string bytes_of_printable(std::string_view text) {
  static const auto kBytes = [] {
    std::unordered_map<std::int32_t, char> bytes;
    for (std::size_t b = 0; b < 256; ++b) bytes.emplace(printable()[b], static_cast<char>(b));
    return bytes;
  }();
  std::string bytes;
  for (std::size_t i = 0; i < text.size();) {
    std::int32_t c = -1;
    const auto used = std::max<utf8proc_ssize_t>(
        1, utf8proc_iterate(reinterpret_cast<const std::uint8_t*>(text.data()) + i,
                            static_cast<utf8proc_ssize_t>(text.size() - i), &c));
    if (const auto found = kBytes.find(c); found != kBytes.end())
      bytes += found->second;
    else
      bytes += text.substr(i, static_cast<std::size_t>(used));
    i += static_cast<std::size_t>(used);
  }
  return bytes;
}

std::string printable_of_bytes(std::string_view bytes) {
  std::string text;
  for (const char b : bytes) {
    std::array<std::uint8_t, 4> utf8;
    const auto size = utf8proc_encode_char(printable()[static_cast<unsigned char>(b)], utf8.data());
    text.append(reinterpret_cast<const char*>(utf8.data()), static_cast<std::size_t>(size));
  }
  return text;
}

}  // namespace tack
