#include "text/decoder_tokenizer.h"

#include <algorithm>
#include <limits>

#include "text/unicode.h"

namespace tack {
namespace {

std::int64_t size_of(const std::vector<TokenId>& ids) {
  return static_cast<std::int64_t>(ids.size());
}

// Where the white space at the end of `text` begins, and where that at its beginning ends.
std::size_t without_trailing_space(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0) {
    std::size_t begin = end - 1;
    while (begin > 0 && end - begin < 4 &&
           (static_cast<unsigned char>(text[begin]) & 0xC0U) == 0x80U)
      --begin;
    if (!is_white_space(first_code_point(text.substr(begin, end - begin)).value)) break;
    end = begin;
  }
  return end;
}
std::size_t leading_space(std::string_view text) {
  std::size_t end = 0;
  while (end < text.size()) {
    const CodePoint c = first_code_point(text.substr(end));
    if (!is_white_space(c.value)) break;
    end += c.bytes;
  }
  return end;
}

}  // namespace

Status DecoderTokenizer::adopt(std::vector<VocabularyToken> tokens, const SpecialTokens& special,
                               bool cut_user_defined) {
  tokens_ = std::move(tokens);
  special_ = special;
  if (tokens_.size() > static_cast<std::size_t>(std::numeric_limits<TokenId>::max()))
    return fail("a vocabulary of {} tokens is too large", tokens_.size());
  for (const auto& [name, id] :
       {std::pair{"bos", special.bos}, {"eos", special.eos}, {"eot", special.eot}})
    if (id && !has(*id)) return fail("the {} token is {}, of {}", name, *id, vocab_size());
  if ((special.add_bos && !special.bos) || (special.add_eos && !special.eos))
    return fail("texts are to have a token around them, and no token is named for it");
  for (TokenId id = 0; id < vocab_size(); ++id) {
    const TokenKind kind = at(id).kind;
    const bool always = cut_user_defined && kind == TokenKind::kUserDefined;
    if (always) always_.add(at(id).text, id);
    if (always || kind == TokenKind::kControl || kind == TokenKind::kUnknown)
      on_request_.add(at(id).text, id);
  }
  return {};
}

Tokens DecoderTokenizer::frame(std::vector<TokenId> ids, std::int64_t max_tokens) const {
  Tokens tokens;
  if (special_.add_bos) ids.insert(ids.begin(), *special_.bos);
  const std::int64_t end = special_.add_eos ? 1 : 0;
  if (max_tokens > 0 && size_of(ids) + end > max_tokens) {
    const std::int64_t kept = std::max<std::int64_t>(max_tokens - end, 0);
    tokens.truncated = size_of(ids) - kept;
    ids.resize(static_cast<std::size_t>(kept));
  }
  if (special_.add_eos) ids.push_back(*special_.eos);
  tokens.ids = std::move(ids);
  return tokens;
}

template <class Stretch, class Token>
void DecoderTokenizer::cut(std::string_view text, const Trie& spelled, const Stretch& stretch,
                           const Token& token) const {
  std::size_t plain = 0;  // where the stretch began
  const auto stretch_until = [&](std::size_t end) {
    if (end > plain) stretch(plain, end);
    plain = end;
  };
  for (std::size_t i = 0; i < text.size() && !spelled.empty();) {
    Trie::Match found;
    if (spelled.begins(text[i])) found = spelled.longest(text.substr(i));
    if (found.bytes == 0) {
      ++i;
      continue;
    }
    const VocabularyToken& of = at(found.id);
    stretch_until(of.strips_left ? plain + without_trailing_space(text.substr(plain, i - plain))
                                 : i);
    i += found.bytes;
    if (of.strips_right) i += leading_space(text.substr(i));
    token(found.id, plain, i);
    plain = i;
  }
  stretch_until(text.size());
}

std::vector<TokenId> DecoderTokenizer::ids_of(std::string_view text, const Trie& spelled) const {
  std::vector<TokenId> ids;
  cut(
      text, spelled,
      [&](std::size_t begin, std::size_t end) {
        append(text.substr(begin, end - begin), begin == 0, ids);
      },
      [&](TokenId id, std::size_t, std::size_t) { ids.push_back(id); });
  return ids;
}

Tokens DecoderTokenizer::encode(std::string_view text, std::int64_t max_tokens) const {
  return frame(ids_of(text, always_), max_tokens);
}

Tokens DecoderTokenizer::encode_with_special(std::string_view text, std::int64_t max_tokens) const {
  std::vector<TokenId> ids = ids_of(text, on_request_);
  if (special_.add_bos && !ids.empty() && ids[0] == *special_.bos) ids.erase(ids.begin());
  return frame(std::move(ids), max_tokens);
}

Tokens DecoderTokenizer::encode_pair(std::string_view a, std::string_view b,
                                     std::int64_t max_tokens) const {
  std::vector<TokenId> first = ids_of(a, always_), second = ids_of(b, always_);
  const std::int64_t around = (special_.add_bos ? 1 : 0) + (special_.add_eos ? 1 : 0);
  std::int64_t cut = 0;
  if (max_tokens > 0) {
    const std::int64_t room = std::max<std::int64_t>(max_tokens - around, 0);
    const std::int64_t n1 = size_of(first), n2 = size_of(second);
    // Both get half; what one does not need is the other's.
    const std::int64_t keep1 = std::min(n1, std::max(room - n2, (room + 1) / 2));
    const std::int64_t keep2 = std::min(n2, room - std::min(keep1, room));
    cut = n1 - keep1 + n2 - keep2;
    first.resize(static_cast<std::size_t>(keep1));
    second.resize(static_cast<std::size_t>(keep2));
  }
  first.insert(first.end(), second.begin(), second.end());
  Tokens tokens = frame(std::move(first), max_tokens);
  tokens.truncated += cut;
  return tokens;
}

Tokens DecoderTokenizer::encode_words(std::string_view text, std::int64_t max_tokens,
                                      std::vector<Word>& words) const {
  words.clear();
  std::vector<TokenId> ids;
  cut(
      text, always_,
      [&](std::size_t begin, std::size_t end) {
        const std::size_t before = words.size();
        append_words(text.substr(begin, end - begin), begin == 0, ids, words);
        for (std::size_t i = before; i < words.size(); ++i) {
          words[i].begin += static_cast<std::int64_t>(begin);
          words[i].end += static_cast<std::int64_t>(begin);
        }
      },
      [&](TokenId id, std::size_t begin, std::size_t end) {
        words.push_back(
            {static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end), size_of(ids)});
        ids.push_back(id);
      });
  Tokens tokens = frame(std::move(ids), max_tokens);
  const std::int64_t before = special_.add_bos ? 1 : 0;
  const std::int64_t end = size_of(tokens.ids) - (special_.add_eos ? 1 : 0);
  for (Word& word : words) word.token = word.token + before < end ? word.token + before : -1;
  return tokens;
}

}  // namespace tack
