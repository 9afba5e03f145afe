#include "text/byte_bpe.h"

#include <algorithm>
#include <array>
#include <limits>
#include <queue>
#include <unordered_map>

#include <utf8proc.h>

namespace tack {
namespace {

constexpr std::int32_t kNone = -1;
constexpr std::size_t kShortWord = 32;  // bytes up to which a scan beats a queue

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

std::uint64_t pair_key(TokenId left, TokenId right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32U |
         static_cast<std::uint32_t>(right);
}

class Implementation final : public ByteBpe {
 public:
  static Result<std::unique_ptr<ByteBpe>> make(ByteBpeConfig config) {
    auto made = std::make_unique<Implementation>();
    made->config_ = std::move(config);
    TACK_RETURN_IF_ERROR(made->index());
    return made;
  }

  Tokens encode(std::string_view text, std::int64_t max_tokens) const override {
    Tokens tokens = begin();
    encode_plain(text, tokens.ids);
    return cut(std::move(tokens), max_tokens);
  }

  Tokens encode_with_special(std::string_view text, std::int64_t max_tokens) const override {
    Tokens tokens = begin();
    std::size_t plain = 0;
    for (std::size_t i = 0; i < text.size();) {
      const TokenId id = special_at(text.substr(i));
      if (id == kNone) {
        ++i;
        continue;
      }
      encode_plain(text.substr(plain, i - plain), tokens.ids);
      tokens.ids.push_back(id);
      i += token(id).size();
      plain = i;
    }
    encode_plain(text.substr(plain), tokens.ids);
    return cut(std::move(tokens), max_tokens);
  }

  Tokens encode_pair(std::string_view a, std::string_view b,
                     std::int64_t max_tokens) const override {
    Tokens tokens = begin();
    std::vector<TokenId> first, second;
    encode_plain(a, first);
    encode_plain(b, second);
    const auto room = static_cast<std::int64_t>(
        max_tokens > 0 ? max_tokens - static_cast<std::int64_t>(tokens.ids.size())
                       : std::numeric_limits<std::int64_t>::max());
    const auto size = [](const std::vector<TokenId>& ids) {
      return static_cast<std::int64_t>(ids.size());
    };
    while (size(first) + size(second) > std::max<std::int64_t>(room, 0)) {
      (size(first) >= size(second) ? first : second).pop_back();
      ++tokens.truncated;
    }
    tokens.ids.insert(tokens.ids.end(), first.begin(), first.end());
    tokens.ids.insert(tokens.ids.end(), second.begin(), second.end());
    return tokens;
  }

  Tokens encode_words(std::string_view text, std::int64_t max_tokens,
                      std::vector<Word>& words) const override {
    Tokens tokens = begin();
    words.clear();
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t bytes = first_word(config_.pre_tokenizer, text.substr(i));
      words.push_back({static_cast<std::int64_t>(i), static_cast<std::int64_t>(i + bytes),
                       static_cast<std::int64_t>(tokens.ids.size())});
      encode_word(text.substr(i, bytes), tokens.ids);
      i += bytes;
    }
    tokens = cut(std::move(tokens), max_tokens);
    for (Word& word : words)
      if (word.token >= static_cast<std::int64_t>(tokens.ids.size())) word.token = -1;
    return tokens;
  }

  std::string decode(std::span<const TokenId> ids) const override {
    std::string text;
    for (const TokenId id : ids)
      if (id >= 0 && id < vocab_size() && kind(id) == ByteBpeConfig::Kind::kText) text += token(id);
    return text;
  }

  std::int64_t vocab_size() const override {
    return static_cast<std::int64_t>(config_.tokens.size());
  }
  std::string_view token(TokenId id) const override {
    if (id < 0 || id >= vocab_size()) return {};
    return config_.tokens[static_cast<std::size_t>(id)].bytes;
  }

 private:
  struct Merged {
    std::int32_t rank;
    TokenId id;
  };

  ByteBpeConfig::Kind kind(TokenId id) const {
    return config_.tokens[static_cast<std::size_t>(id)].kind;
  }

  Status index() {
    if (config_.begin && (*config_.begin < 0 || *config_.begin >= vocab_size()))
      return fail("the token that begins a text is {}, of {}", *config_.begin, vocab_size());
    single_.fill(kNone);
    for (TokenId id = 0; id < vocab_size(); ++id) {
      const std::string_view bytes = token(id);
      if (kind(id) == ByteBpeConfig::Kind::kSpecial && !bytes.empty())
        special_[static_cast<unsigned char>(bytes[0])].push_back(id);
      if (kind(id) != ByteBpeConfig::Kind::kText) continue;
      if (!by_bytes_.emplace(bytes, id).second)
        return fail("tokens {} and {} are the same text", by_bytes_[bytes], id);
      if (bytes.size() == 1) single_[static_cast<unsigned char>(bytes[0])] = id;
    }
    for (std::size_t b = 0; b < single_.size(); ++b)
      if (single_[b] == kNone) return fail("no token for the byte 0x{:02x}", b);
    // The longest special token that a text spells out is the one.
    for (auto& ids : special_)
      std::ranges::stable_sort(
          ids, [&](TokenId a, TokenId b) { return token(a).size() > token(b).size(); });
    std::string joined;
    for (std::size_t rank = 0; rank < config_.merges.size(); ++rank) {
      const auto [left, right] = config_.merges[rank];
      joined.assign(token(left)).append(token(right));
      const auto found = by_bytes_.find(joined);
      if (found == by_bytes_.end())
        return fail("merge {} joins tokens {} and {} into what is no token", rank, left, right);
      merges_.try_emplace(pair_key(left, right),
                          Merged{static_cast<std::int32_t>(rank), found->second});
    }
    config_.merges = {};
    return {};
  }

  Tokens begin() const {
    Tokens tokens;
    if (config_.begin) tokens.ids.push_back(*config_.begin);
    return tokens;
  }
  static Tokens cut(Tokens tokens, std::int64_t max_tokens) {
    const auto size = static_cast<std::int64_t>(tokens.ids.size());
    if (max_tokens > 0 && size > max_tokens) {
      tokens.truncated = size - max_tokens;
      tokens.ids.resize(static_cast<std::size_t>(max_tokens));
    }
    return tokens;
  }

  TokenId special_at(std::string_view text) const {
    for (const TokenId id : special_[static_cast<unsigned char>(text[0])])
      if (text.starts_with(token(id))) return id;
    return kNone;
  }

  void encode_plain(std::string_view text, std::vector<TokenId>& ids) const {
    while (!text.empty()) {
      const std::size_t bytes = first_word(config_.pre_tokenizer, text);
      encode_word(text.substr(0, bytes), ids);
      text.remove_prefix(bytes);
    }
  }

  void encode_word(std::string_view word, std::vector<TokenId>& ids) const {
    if (config_.whole_words || word.size() == 1)
      if (const auto found = by_bytes_.find(word); found != by_bytes_.end()) {
        ids.push_back(found->second);
        return;
      }
    if (word.size() <= kShortWord)
      merge_short(word, ids);
    else
      merge_long(word, ids);
  }

  Merged merged(TokenId left, TokenId right) const {
    const auto found = merges_.find(pair_key(left, right));
    return found == merges_.end() ? Merged{std::numeric_limits<std::int32_t>::max(), kNone}
                                  : found->second;
  }

  // The best pair of all, again and again.
  void merge_short(std::string_view word, std::vector<TokenId>& ids) const {
    std::array<TokenId, kShortWord> parts;
    std::array<Merged, kShortWord> next;  // of a part and the one behind it
    std::size_t count = word.size();
    for (std::size_t i = 0; i < count; ++i) parts[i] = single_[static_cast<unsigned char>(word[i])];
    for (std::size_t i = 0; i + 1 < count; ++i) next[i] = merged(parts[i], parts[i + 1]);
    while (count > 1) {
      std::size_t best = 0;
      for (std::size_t i = 1; i + 1 < count; ++i)
        if (next[i].rank < next[best].rank) best = i;
      if (next[best].id == kNone) break;
      parts[best] = next[best].id;
      std::copy(parts.begin() + static_cast<std::ptrdiff_t>(best) + 2,
                parts.begin() + static_cast<std::ptrdiff_t>(count),
                parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
      std::copy(next.begin() + static_cast<std::ptrdiff_t>(best) + 1,
                next.begin() + static_cast<std::ptrdiff_t>(count) - 1,
                next.begin() + static_cast<std::ptrdiff_t>(best));
      --count;
      if (best > 0) next[best - 1] = merged(parts[best - 1], parts[best]);
      if (best + 1 < count) next[best] = merged(parts[best], parts[best + 1]);
    }
    ids.insert(ids.end(), parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(count));
  }

  // The same with a queue of pairs over a linked list: n log n.
  void merge_long(std::string_view word, std::vector<TokenId>& ids) const {
    struct Part {
      TokenId id;
      std::int64_t before, after;
    };
    struct Candidate {
      std::int32_t rank;
      std::int64_t at;
      TokenId left, right, id;
      bool operator>(const Candidate& other) const {
        return rank != other.rank ? rank > other.rank : at > other.at;
      }
    };
    const auto n = static_cast<std::int64_t>(word.size());
    std::vector<Part> parts;
    for (std::int64_t i = 0; i < n; ++i)
      parts.push_back({single_[static_cast<unsigned char>(word[static_cast<std::size_t>(i)])],
                       i - 1, i + 1 < n ? i + 1 : -1});
    const auto part = [&](std::int64_t i) -> Part& { return parts[static_cast<std::size_t>(i)]; };
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
    const auto offer = [&](std::int64_t i) {
      if (i < 0 || part(i).after < 0) return;
      const TokenId left = part(i).id, right = part(part(i).after).id;
      if (const Merged m = merged(left, right); m.id != kNone)
        queue.push({m.rank, i, left, right, m.id});
    };
    for (std::int64_t i = 0; i + 1 < n; ++i) offer(i);
    while (!queue.empty()) {
      const Candidate best = queue.top();
      queue.pop();
      Part& left = part(best.at);
      // Stale: one of the two was merged since.
      if (left.id != best.left || left.after < 0 || part(left.after).id != best.right) continue;
      Part& right = part(left.after);
      left.id = best.id;
      right.id = kNone;
      left.after = right.after;
      if (left.after >= 0) part(left.after).before = best.at;
      offer(left.before);
      offer(best.at);
    }
    for (std::int64_t i = 0; i >= 0; i = part(i).after) ids.push_back(part(i).id);
  }

  ByteBpeConfig config_;
  std::unordered_map<std::string_view, TokenId> by_bytes_;  // views of config_.tokens
  std::unordered_map<std::uint64_t, Merged> merges_;
  std::array<TokenId, 256> single_{};
  std::array<std::vector<TokenId>, 256> special_;  // by first byte, longest first
};

}  // namespace

Result<std::unique_ptr<ByteBpe>> make_byte_bpe(ByteBpeConfig config) {
  return Implementation::make(std::move(config));
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
