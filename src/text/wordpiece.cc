#include "text/wordpiece.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include <utf8proc.h>

#include "text/unicode8.h"

namespace tack {
namespace {

constexpr std::int32_t kReplacement = 0xFFFD;

template <std::size_t N>
bool inside(const std::array<unicode8::Range, N>& ranges, std::int32_t c) {
  const auto next = std::ranges::upper_bound(ranges, c, {}, &unicode8::Range::first);
  return next != ranges.begin() && c <= std::prev(next)->last;
}

// The character classes of BertNormalizer and BertPreTokenizer, for code points from 128 up.
bool is_other(std::int32_t c) {
  const auto category = utf8proc_category(c);
  const bool other = category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
                     category == UTF8PROC_CATEGORY_CO;
  return other != inside(unicode8::kOtherDiffers, c);
}
bool is_space(std::int32_t c) {
  const auto category = utf8proc_category(c);
  return c == 0x85 || category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}
bool is_nonspacing(std::int32_t c) {
  return (utf8proc_category(c) == UTF8PROC_CATEGORY_MN) != inside(unicode8::kNonspacingDiffers, c);
}
bool is_punctuation(std::int32_t c) {
  const auto category = utf8proc_category(c);
  const bool punctuation = category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
  return punctuation != inside(unicode8::kPunctuationDiffers, c);
}
bool is_cjk(std::int32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

enum class Ascii : std::uint8_t { kDrop, kSpace, kPunctuation, kWord };

constexpr std::array<Ascii, 128> make_ascii(bool clean) {
  std::array<Ascii, 128> table{};
  for (std::size_t c = 0; c < 128; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
      table[c] = Ascii::kSpace;
    else if (c < 32 || c == 127)
      // Without cleaning, the pre-tokenizer still sees vertical tab and form feed as white space.
      table[c] = clean ? Ascii::kDrop : c == 11 || c == 12 ? Ascii::kSpace : Ascii::kWord;
    else
      table[c] = letter ? Ascii::kWord : Ascii::kPunctuation;
  }
  return table;
}
constexpr std::array<Ascii, 128> kAsciiClean = make_ascii(true), kAsciiRaw = make_ascii(false);

// Piece -> id: open addressing over 64-bit hashes of bytes. Word starts and continuations are told
// apart by the seed of the hash, so that a lookup never builds "##" + piece.
class Vocabulary {
 public:
  static constexpr std::uint64_t kStart = 0x9E3779B97F4A7C15, kContinuation = 0xC2B2AE3D27D4EB4F;

  // FNV-1a's step, with a wider multiplier: the hash of every prefix comes with one pass.
  static std::uint64_t step(std::uint64_t hash, char c) {
    return (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  }
  static std::uint64_t hash(std::uint64_t seed, std::string_view bytes) {
    for (char c : bytes) seed = step(seed, c);
    return seed;
  }

  explicit Vocabulary(std::size_t pieces)
      : slots_(std::bit_ceil(pieces * 2 + 2)), shift_(64 - std::countr_zero(slots_.size())) {}

  // False when the piece is there already.
  bool insert(std::uint64_t hash, std::string_view piece, TokenId id) {
    std::size_t i = slot(hash);
    for (; slots_[i].id >= 0; i = next(i))
      if (slots_[i].hash == hash && slots_[i].piece == piece) return false;
    slots_[i] = {hash, piece, id};
    longest_ = std::max(longest_, piece.size());
    return true;
  }
  TokenId find(std::uint64_t hash, std::string_view piece) const {
    for (std::size_t i = slot(hash); slots_[i].id >= 0; i = next(i))
      if (slots_[i].hash == hash && slots_[i].piece == piece) return slots_[i].id;
    return -1;
  }
  std::size_t longest() const { return longest_; }  // bytes, without the prefix

 private:
  struct Slot {
    std::uint64_t hash = 0;
    std::string_view piece;
    TokenId id = -1;
  };
  // Fibonacci hashing: FNV's low bits alone are poor.
  std::size_t slot(std::uint64_t hash) const { return (hash * 0x9E3779B97F4A7C15ULL) >> shift_; }
  std::size_t next(std::size_t i) const { return (i + 1) & (slots_.size() - 1); }

  std::vector<Slot> slots_;
  int shift_;
  std::size_t longest_ = 0;
};

class WordPiece final : public Tokenizer {
 public:
  explicit WordPiece(WordPieceConfig config)
      : config_(std::move(config)), vocabulary_(config_.vocab.size() * 2) {}

  Status init();

  Tokens encode(std::string_view text, std::int64_t max_tokens) const override;
  Tokens encode_with_special(std::string_view text, std::int64_t max_tokens) const override {
    return encode(text, max_tokens);
  }
  Tokens encode_pair(std::string_view a, std::string_view b,
                     std::int64_t max_tokens) const override;
  std::string decode(std::span<const TokenId> ids) const override;
  std::string token_bytes(TokenId id) const override;
  const SpecialTokens& special() const override { return roles_; }
  Tokens encode_words(std::string_view text, std::int64_t max_tokens,
                      std::vector<Word>& words) const override;
  std::int64_t vocab_size() const override {
    return static_cast<std::int64_t>(config_.vocab.size());
  }
  std::string_view token(TokenId id) const override {
    if (id < 0 || id >= vocab_size()) return {};
    return config_.vocab[static_cast<std::size_t>(id)];
  }

 private:
  class Segmenter;

  // `words`, when not null, gets where the words stand; their tokens count from the first piece.
  std::vector<TokenId> pieces(std::string_view text, std::vector<Word>* words = nullptr) const;
  Tokens frame(std::span<const TokenId> ids, std::int64_t max_tokens) const;
  void add_word(std::string_view word, std::int64_t characters, std::vector<TokenId>& out) const;
  // Appends the ids of one word; false when some part has no piece.
  bool split_word(std::string_view word, std::vector<TokenId>& out) const;

  WordPieceConfig config_;
  Vocabulary vocabulary_;
  struct Special {
    std::string_view text;
    TokenId id;
  };
  std::vector<Special> specials_;
  TokenId unknown_ = 0, cls_ = 0, sep_ = 0;
  SpecialTokens roles_;
};

Status WordPiece::init() {
  const std::string_view prefix = config_.continuing_prefix;
  for (std::size_t i = 0; i < config_.vocab.size(); ++i) {
    const std::string_view piece = config_.vocab[i];
    const auto id = static_cast<TokenId>(i);
    // A piece with the prefix can stand at a word's start too, spelled out: "##" is punctuation to
    // the pre-tokenizer, so this never happens in text, but special tokens go through the same
    // table.
    const bool fresh = vocabulary_.insert(Vocabulary::hash(Vocabulary::kStart, piece), piece, id);
    if (!fresh)
      return fail("vocabulary: token {} '{}' is there twice; the file is broken", i, piece);
    if (!prefix.empty() && piece.size() > prefix.size() && piece.starts_with(prefix)) {
      const std::string_view rest = piece.substr(prefix.size());
      vocabulary_.insert(Vocabulary::hash(Vocabulary::kContinuation, rest), rest, id);
    }
  }
  const auto find = [&](std::string_view text) {
    return vocabulary_.find(Vocabulary::hash(Vocabulary::kStart, text), text);
  };
  for (const std::string* name : {&config_.unknown, &config_.cls, &config_.sep})
    if (find(*name) < 0)
      return fail("vocabulary of {} tokens has no '{}', which WordPiece needs",
                  config_.vocab.size(), *name);
  unknown_ = find(config_.unknown), cls_ = find(config_.cls), sep_ = find(config_.sep);
  roles_ = {.bos = cls_, .eos = sep_, .eot = {}, .add_bos = true, .add_eos = true};
  for (const std::string* name :
       {&config_.pad, &config_.unknown, &config_.cls, &config_.sep, &config_.mask})
    if (!name->empty() && find(*name) >= 0) specials_.push_back({*name, find(*name)});
  return {};
}

// Normalises text and cuts it into words, one character at a time.
class WordPiece::Segmenter {
 public:
  Segmenter(const WordPiece& tokenizer, std::vector<TokenId>& out, std::vector<Word>* words)
      : tokenizer_(tokenizer),
        config_(tokenizer.config_),
        out_(out),
        words_(words),
        ascii_(config_.clean_text ? kAsciiClean : kAsciiRaw) {}

  // `offset`: where `text` begins in the whole.
  void run(std::string_view text, std::size_t offset) {
    const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
    const auto size = static_cast<utf8proc_ssize_t>(text.size());
    for (utf8proc_ssize_t i = 0; i < size;) {
      begin_ = static_cast<std::int64_t>(offset) + i;
      if (bytes[i] < 128) {
        end_ = begin_ + 1;
        ascii(static_cast<char>(bytes[i++]));
        continue;
      }
      utf8proc_int32_t c = kReplacement;
      const utf8proc_ssize_t used = utf8proc_iterate(bytes + i, size - i, &c);
      if (used < 0) c = kReplacement;
      i += std::max<utf8proc_ssize_t>(used, 1);
      end_ = static_cast<std::int64_t>(offset) + i;
      clean(c);
      // A mark that was dropped belongs to the word it stands on.
      if (characters_ > 0) word_end_ = end_;
    }
    flush();
  }

 private:
  void ascii(char c) {
    switch (ascii_[static_cast<std::size_t>(c)]) {
      case Ascii::kDrop:
        return;
      case Ascii::kSpace:
        return flush();
      case Ascii::kPunctuation:
        flush();
        return add({&c, 1}, 1, begin_, end_);
      case Ascii::kWord:
        if (config_.lowercase && c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
        extend();
        word_.push_back(c);
    }
  }

  void clean(std::int32_t c) {
    if (config_.clean_text) {
      if (c == kReplacement || is_other(c)) return;
      if (is_space(c)) return flush();
    }
    if (!config_.split_cjk || !is_cjk(c)) return decompose(c);
    flush();
    decompose(c);
    flush();
  }

  void decompose(std::int32_t c) {
    if (!config_.strip_accents) return lowercase(c);
    std::array<utf8proc_int32_t, 32> parts;
    int boundary = 0;
    const utf8proc_ssize_t count =
        utf8proc_decompose_char(c, parts.data(), parts.size(), UTF8PROC_DECOMPOSE, &boundary);
    if (count < 1 || count > static_cast<utf8proc_ssize_t>(parts.size())) return lowercase(c);
    for (utf8proc_ssize_t i = 0; i < count; ++i)
      if (!is_nonspacing(parts[static_cast<std::size_t>(i)]))
        lowercase(parts[static_cast<std::size_t>(i)]);
  }

  void lowercase(std::int32_t c) {
    if (c < 128) return ascii(static_cast<char>(c));
    if (!config_.lowercase) return emit(c);
    if (c == 0x130) {  // the one letter whose lower case is two characters
      emit('i');
      return emit(0x307);
    }
    emit(utf8proc_tolower(c));
  }

  void emit(std::int32_t c) {
    if (c >= 128 && is_space(c)) return flush();
    std::array<utf8proc_uint8_t, 4> bytes;
    const auto size = static_cast<std::size_t>(utf8proc_encode_char(c, bytes.data()));
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), size);
    if (c >= 128 && is_punctuation(c)) {
      flush();
      return add(text, 1, begin_, end_);
    }
    extend();
    word_ += text;
  }

  void extend() {
    if (characters_++ == 0) word_begin_ = begin_;
    word_end_ = end_;
  }

  void add(std::string_view word, std::int64_t characters, std::int64_t begin, std::int64_t end) {
    if (words_ != nullptr) words_->push_back({begin, end, static_cast<std::int64_t>(out_.size())});
    tokenizer_.add_word(word, characters, out_);
  }

  void flush() {
    if (characters_ > 0) add(word_, characters_, word_begin_, word_end_);
    word_.clear();
    characters_ = 0;
  }

  const WordPiece& tokenizer_;
  const WordPieceConfig& config_;
  std::vector<TokenId>& out_;
  std::vector<Word>* words_;
  const std::array<Ascii, 128>& ascii_;
  std::string word_;
  std::int64_t characters_ = 0;
  // Bytes of the whole text: of the character at hand, and of the word that is open.
  std::int64_t begin_ = 0, end_ = 0, word_begin_ = 0, word_end_ = 0;
};

void WordPiece::add_word(std::string_view word, std::int64_t characters,
                         std::vector<TokenId>& out) const {
  if (characters > config_.max_chars_per_word) return out.push_back(unknown_);
  // Four words of five are one piece.
  const TokenId whole = vocabulary_.find(Vocabulary::hash(Vocabulary::kStart, word), word);
  if (whole >= 0) return out.push_back(whole);
  const std::size_t before = out.size();
  if (split_word(word, out)) return;
  out.resize(before);
  out.push_back(unknown_);
}

bool WordPiece::split_word(std::string_view word, std::vector<TokenId>& out) const {
  std::array<std::uint64_t, 512> prefix;  // hash of the first i + 1 bytes of what is left
  std::uint64_t seed = Vocabulary::kStart;
  while (!word.empty()) {
    std::size_t length = std::min({word.size(), vocabulary_.longest(), prefix.size()});
    std::uint64_t hash = seed;
    for (std::size_t i = 0; i < length; ++i) prefix[i] = hash = Vocabulary::step(hash, word[i]);
    TokenId id = -1;
    for (; length > 0; --length) {
      // A piece never ends inside a character: the next byte would be a continuation byte.
      if (length < word.size() && (static_cast<unsigned char>(word[length]) & 0xC0) == 0x80)
        continue;
      id = vocabulary_.find(prefix[length - 1], word.substr(0, length));
      if (id >= 0) break;
    }
    if (id < 0) return false;
    out.push_back(id);
    word.remove_prefix(length);
    seed = Vocabulary::kContinuation;
  }
  return true;
}

// Special tokens are found in the raw text, before normalisation, as added tokens are.
std::vector<TokenId> WordPiece::pieces(std::string_view text, std::vector<Word>* words) const {
  std::vector<TokenId> out;
  out.reserve(text.size() / 3 + 8);
  Segmenter segmenter(*this, out, words);
  std::size_t begin = 0;
  const auto starts_special = [&](std::size_t at) -> const Special* {
    for (const Special& special : specials_)
      if (text.substr(at).starts_with(special.text)) return &special;
    return nullptr;
  };
  // All five begin with the same byte in every BERT vocabulary; memchr skips what cannot be one.
  const char first = config_.cls.empty() ? '[' : config_.cls.front();
  for (std::size_t at = text.find(first); at != std::string_view::npos; at = text.find(first, at)) {
    const Special* special = starts_special(at);
    if (special == nullptr) {
      ++at;
      continue;
    }
    segmenter.run(text.substr(begin, at - begin), begin);
    begin = at;
    at += special->text.size();
    if (words != nullptr)
      words->push_back({static_cast<std::int64_t>(begin), static_cast<std::int64_t>(at),
                        static_cast<std::int64_t>(out.size())});
    out.push_back(special->id);
    begin = at;
  }
  segmenter.run(text.substr(begin), begin);
  return out;
}

Tokens WordPiece::encode(std::string_view text, std::int64_t max_tokens) const {
  return frame(pieces(text), max_tokens);
}

Tokens WordPiece::encode_words(std::string_view text, std::int64_t max_tokens,
                               std::vector<Word>& words) const {
  words.clear();
  Tokens tokens = frame(pieces(text, &words), max_tokens);
  const auto kept = static_cast<std::int64_t>(tokens.ids.size()) - 2;
  for (Word& word : words) word.token = word.token < kept ? word.token + 1 : -1;
  return tokens;
}

Tokens WordPiece::frame(std::span<const TokenId> ids, std::int64_t max_tokens) const {
  Tokens tokens;
  const auto size = static_cast<std::int64_t>(ids.size());
  const std::int64_t room = max_tokens <= 0 ? size : std::max<std::int64_t>(max_tokens - 2, 0);
  const std::int64_t kept = std::min(size, room);
  tokens.truncated = size - kept;
  tokens.ids.reserve(static_cast<std::size_t>(kept) + 2);
  tokens.ids.push_back(cls_);
  tokens.ids.insert(tokens.ids.end(), ids.begin(), ids.begin() + kept);
  tokens.ids.push_back(sep_);
  return tokens;
}

Tokens WordPiece::encode_pair(std::string_view a, std::string_view b,
                              std::int64_t max_tokens) const {
  std::vector<TokenId> first = pieces(a), second = pieces(b);
  const auto both = static_cast<std::int64_t>(first.size() + second.size());
  Tokens tokens;
  if (max_tokens > 0 && both + 3 > max_tokens) {
    // As TruncationStrategy::LongestFirst: when one text is shorter than half of the room it is
    // kept whole; else both get half, the one that was longer the odd token.
    const std::int64_t room = std::max<std::int64_t>(max_tokens - 3, 0);
    auto n1 = static_cast<std::int64_t>(first.size()),
         n2 = static_cast<std::int64_t>(second.size());
    const bool swapped = n1 > n2;
    if (swapped) std::swap(n1, n2);
    n2 = n1 > room ? n1 : std::max(n1, room - n1);
    if (n1 + n2 > room) {
      n1 = room / 2;
      n2 = n1 + room % 2;
    }
    if (swapped) std::swap(n1, n2);
    first.resize(static_cast<std::size_t>(n1));
    second.resize(static_cast<std::size_t>(n2));
    tokens.truncated = both - n1 - n2;
  }
  tokens.ids.push_back(cls_);
  tokens.ids.insert(tokens.ids.end(), first.begin(), first.end());
  tokens.ids.push_back(sep_);
  tokens.type_ids.assign(tokens.ids.size(), 0);
  tokens.ids.insert(tokens.ids.end(), second.begin(), second.end());
  tokens.ids.push_back(sep_);
  tokens.type_ids.resize(tokens.ids.size(), 1);
  return tokens;
}

std::string WordPiece::token_bytes(TokenId id) const {
  const std::string_view piece = token(id);
  if (id != unknown_ && std::ranges::find(specials_, id, &Special::id) != specials_.end())
    return {};
  const bool continues = piece.size() > config_.continuing_prefix.size() &&
                         piece.starts_with(config_.continuing_prefix);
  if (continues) return std::string(piece.substr(config_.continuing_prefix.size()));
  return piece.empty() ? std::string() : " " + std::string(piece);
}

// Words apart by one space: what stood between them is not in the tokens.
std::string WordPiece::decode(std::span<const TokenId> ids) const {
  std::string text;
  for (const TokenId id : ids) text += token_bytes(id);
  if (text.starts_with(' ')) text.erase(0, 1);
  return text;
}

constexpr std::string_view kWordStart = "\u2581";

bool is_bracketed(std::string_view token) {
  return token.size() > 2 && token.front() == '[' && token.back() == ']';
}

// `key` of `json`, when it is a boolean.
bool flag(const Json& json, std::string_view key, bool fallback) {
  const auto found = json.find(key);
  return found != json.end() && found->is_boolean() ? found->get<bool>() : fallback;
}

Status read_vocab(const Json& model, std::string_view name, WordPieceConfig& config) {
  const auto vocab = model.find("vocab");
  if (vocab == model.end() || !vocab->is_object() || vocab->empty())
    return fail("{}: model.vocab is missing or empty", name);
  config.vocab.assign(vocab->size(), "");
  std::vector<bool> seen(vocab->size());
  for (const auto& [piece, id] : vocab->items()) {
    if (!id.is_number_integer() || id.get<std::int64_t>() < 0 ||
        id.get<std::int64_t>() >= static_cast<std::int64_t>(vocab->size()))
      return fail("{}: model.vocab: id of '{}' is not in 0..{}", name, piece, vocab->size() - 1);
    const auto at = static_cast<std::size_t>(id.get<std::int64_t>());
    if (seen[at]) return fail("{}: model.vocab: id {} is there twice", name, at);
    seen[at] = true;
    config.vocab[at] = piece;
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> make_wordpiece(WordPieceConfig config) {
  if (config.vocab.empty()) return fail("the vocabulary is empty");
  auto tokenizer = std::make_unique<WordPiece>(std::move(config));
  TACK_RETURN_IF_ERROR(tokenizer->init());
  return tokenizer;
}

Result<WordPieceConfig> wordpiece_from_tokenizer_json(const Json& json, std::string_view name) {
  const auto part = [&](const char* key) -> const Json& {
    static const Json none = Json::object();
    const auto found = json.is_object() ? json.find(key) : json.end();
    return found != json.end() && found->is_object() ? *found : none;
  };
  const auto text = [](const Json& object, const char* key, std::string fallback) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : fallback;
  };
  const Json& model = part("model");
  const std::string type = text(model, "type", "");
  if (type != "WordPiece")
    return fail("{}: the tokenizer is '{}'; only WordPiece is supported", name,
                type.empty() ? "unknown" : type);
  const Json& normalizer = part("normalizer");
  if (!normalizer.empty() && text(normalizer, "type", "") != "BertNormalizer")
    return fail("{}: normalizer '{}' is not supported; BertNormalizer is", name,
                text(normalizer, "type", ""));
  WordPieceConfig config;
  TACK_RETURN_IF_ERROR(read_vocab(model, name, config));
  config.unknown = text(model, "unk_token", config.unknown);
  config.continuing_prefix = text(model, "continuing_subword_prefix", config.continuing_prefix);
  if (const auto most = model.find("max_input_chars_per_word");
      most != model.end() && most->is_number_unsigned())
    config.max_chars_per_word = most->get<std::int64_t>();
  const bool normalized = !normalizer.empty();
  config.lowercase = flag(normalizer, "lowercase", normalized);
  config.clean_text = flag(normalizer, "clean_text", normalized);
  config.split_cjk = flag(normalizer, "handle_chinese_chars", normalized);
  config.strip_accents = flag(normalizer, "strip_accents", config.lowercase);
  return config;
}

std::vector<std::string> wordpiece_vocab_from_gguf(std::span<const std::string> tokens) {
  std::vector<std::string> out;
  out.reserve(tokens.size());
  for (const std::string& token : tokens) {
    if (token.starts_with(kWordStart))
      out.push_back(token.substr(kWordStart.size()));
    else
      out.push_back(is_bracketed(token) ? token : "##" + token);
  }
  return out;
}

std::vector<std::string> wordpiece_vocab_to_gguf(std::span<const std::string> vocab) {
  std::vector<std::string> out;
  out.reserve(vocab.size());
  for (const std::string& piece : vocab) {
    if (piece.starts_with("##"))
      out.push_back(piece.substr(2));
    else
      out.push_back(is_bracketed(piece) ? piece : std::string(kWordStart) + piece);
  }
  return out;
}

}  // namespace tack
