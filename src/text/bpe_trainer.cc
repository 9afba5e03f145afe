#include "text/bpe_trainer.h"

#include <algorithm>
#include <array>
#include <queue>

#include "text/byte_bpe.h"

namespace tack {
namespace {

using Pair = std::pair<TokenId, TokenId>;

std::uint64_t key_of(Pair pair) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(pair.first)) << 32U |
         static_cast<std::uint32_t>(pair.second);
}

class Trainer {
 public:
  Trainer(const WordCounts& words, const BpeTrainerOptions& options) : options_(options) {
    std::array<TokenId, 256> single{};
    add_bytes(single);
    for (const auto& [text, count] : words.sorted()) {
      Word word{.ids = {}, .count = count};
      for (const char c : text) word.ids.push_back(single[static_cast<unsigned char>(c)]);
      words_.push_back(std::move(word));
    }
    for (std::size_t w = 0; w < words_.size(); ++w) count_pairs(w, 1);
    for (const auto& [key, pair] : pairs_) offer(key, pair.count);
  }

  LearnedBpe run() {
    while (static_cast<std::int64_t>(learned_.tokens.size()) < options_.vocab && !queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      const std::int64_t count = pairs_[best.key].count;
      if (count != best.count) {  // changed since
        offer(best.key, count);
        continue;
      }
      merge({static_cast<TokenId>(best.key >> 32U), static_cast<TokenId>(best.key & UINT32_MAX)});
    }
    return std::move(learned_);
  }

 private:
  struct Word {
    std::vector<TokenId> ids;
    std::int64_t count;
  };
  struct PairState {
    std::int64_t count = 0;
    std::vector<std::uint32_t> words;  // that have, or once had it; perhaps twice
  };
  struct Candidate {
    std::int64_t count;
    std::uint64_t key;
    // The most frequent first, then the least ids.
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : key > other.key;
    }
  };

  // Ids in the order of the printable characters.
  void add_bytes(std::array<TokenId, 256>& single) {
    std::vector<std::pair<std::string, int>> bytes;
    for (int b = 0; b < 256; ++b)
      bytes.emplace_back(printable_of_bytes(std::string(1, static_cast<char>(b))), b);
    std::ranges::sort(bytes);  // UTF-8 sorts as its code points do
    for (const auto& [printable, b] : bytes) {
      single[static_cast<std::size_t>(b)] = static_cast<TokenId>(learned_.tokens.size());
      learned_.tokens.emplace_back(1, static_cast<char>(b));
      ids_.emplace(learned_.tokens.back(), single[static_cast<std::size_t>(b)]);
    }
  }

  void offer(std::uint64_t key, std::int64_t count) {
    if (count >= std::max<std::int64_t>(options_.least_count, 1)) queue_.push({count, key});
  }

  // Adds (sign 1) or takes away (-1) the pairs of a word as it stands.
  void count_pairs(std::size_t w, std::int64_t sign) {
    const Word& word = words_[w];
    for (std::size_t i = 0; i + 1 < word.ids.size(); ++i) {
      const std::uint64_t key = key_of({word.ids[i], word.ids[i + 1]});
      PairState& pair = pairs_[key];
      pair.count += sign * word.count;
      changed_.push_back(key);
      if (sign > 0 && (pair.words.empty() || pair.words.back() != w))
        pair.words.push_back(static_cast<std::uint32_t>(w));
    }
  }

  void merge(Pair pair) {
    std::string joined = learned_.tokens[static_cast<std::size_t>(pair.first)] +
                         learned_.tokens[static_cast<std::size_t>(pair.second)];
    // Two merges may lead to the same bytes: "a" "bc" and "ab" "c".
    const auto [found, is_new] = ids_.emplace(joined, static_cast<TokenId>(learned_.tokens.size()));
    if (is_new) learned_.tokens.push_back(std::move(joined));
    learned_.merges.push_back(pair);
    changed_.clear();
    const std::vector<std::uint32_t> words = std::move(pairs_[key_of(pair)].words);
    pairs_[key_of(pair)].words.clear();
    for (const std::uint32_t w : words) {
      if (!contains(words_[w].ids, pair)) continue;
      count_pairs(w, -1);
      replace(words_[w].ids, pair, found->second);
      count_pairs(w, 1);
    }
    // What lost is offered again when its turn comes; what won must be now.
    std::ranges::sort(changed_);
    const auto rest = std::ranges::unique(changed_);
    changed_.erase(rest.begin(), rest.end());
    for (const std::uint64_t key : changed_) offer(key, pairs_[key].count);
  }

  static bool contains(const std::vector<TokenId>& ids, Pair pair) {
    for (std::size_t i = 0; i + 1 < ids.size(); ++i)
      if (ids[i] == pair.first && ids[i + 1] == pair.second) return true;
    return false;
  }

  static void replace(std::vector<TokenId>& ids, Pair pair, TokenId by) {
    std::size_t to = 0;
    for (std::size_t i = 0; i < ids.size(); ++to) {
      const bool here = i + 1 < ids.size() && ids[i] == pair.first && ids[i + 1] == pair.second;
      ids[to] = here ? by : ids[i];
      i += here ? 2 : 1;
    }
    ids.resize(to);
  }

  BpeTrainerOptions options_;
  std::vector<Word> words_;
  std::unordered_map<std::uint64_t, PairState> pairs_;
  std::unordered_map<std::string, TokenId> ids_;  // by bytes
  std::priority_queue<Candidate> queue_;
  std::vector<std::uint64_t> changed_;  // pairs whose count the merge at hand touched
  LearnedBpe learned_;
};

}  // namespace

constexpr std::size_t kLongestWord = 1024;  // bytes

void WordCounts::add(std::string_view text) {
  while (!text.empty()) {
    // A longer one is no word of a language; each of its merges would count it anew.
    const std::size_t bytes = std::min(first_word(pre_tokenizer_, text), kLongestWord);
    const std::string_view word = text.substr(0, bytes);
    if (const auto found = counts_.find(word); found != counts_.end())
      ++found->second;
    else
      counts_.emplace(word, 1);
    text.remove_prefix(bytes);
  }
}

std::vector<std::pair<std::string_view, std::int64_t>> WordCounts::sorted() const {
  std::vector<std::pair<std::string_view, std::int64_t>> all(counts_.begin(), counts_.end());
  std::ranges::sort(all);
  return all;
}

LearnedBpe learn_bpe(const WordCounts& words, const BpeTrainerOptions& options) {
  return Trainer(words, options).run();
}

}  // namespace tack
