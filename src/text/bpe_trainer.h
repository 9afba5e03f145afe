// Learns the merges of a byte-level byte-pair encoding from text (Sennrich et al. 2016): again and
// again the pair of neighbouring tokens that is most frequent within words becomes a token.
//
// Equal counts go to the pair of the least first id, then the least second, so the same text gives
// the same vocabulary; it is that of Hugging Face's BpeTrainer. Pairs are counted once; a merge
// changes the counts of the words it stands in.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/pretokenizer.h"
#include "text/tokenizer.h"

namespace tack {

// How often each word occurs; one of more than 1,024 bytes is cut.
class WordCounts {
 public:
  explicit WordCounts(PreTokenizer pre_tokenizer) : pre_tokenizer_(pre_tokenizer) {}
  void add(std::string_view text);
  // In the order of their bytes.
  std::vector<std::pair<std::string_view, std::int64_t>> sorted() const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view word) const {
      return std::hash<std::string_view>()(word);
    }
  };
  PreTokenizer pre_tokenizer_;
  std::unordered_map<std::string, std::int64_t, Hash, std::equal_to<>> counts_;
};

struct LearnedBpe {
  // The bytes of each token: 256 single ones, ordered by the printable character that stands for
  // them in files (as in GPT-2's vocabulary), then one of each merge.
  std::vector<std::string> tokens;
  std::vector<std::pair<TokenId, TokenId>> merges;  // the first learned first
};

struct BpeTrainerOptions {
  std::int64_t vocab = 0;  // tokens wanted, 256 or more; fewer when the text has no more pairs
  std::int64_t least_count = 2;  // of a pair that is merged
};

LearnedBpe learn_bpe(const WordCounts& words, const BpeTrainerOptions& options);

}  // namespace tack
