#include "compress/prune_vocabulary.h"

#include <algorithm>
#include <limits>

#include "models/tokenizer_loading.h"
#include "models/vocabulary_cut.h"
#include "text/vocabulary_needs.h"

namespace tack {
namespace {

std::int64_t size_of(const auto& list) {
  return static_cast<std::int64_t>(list.size());
}

// The tokens that stay, each with all it is merged from.
class Keeping {
 public:
  explicit Keeping(const VocabularyNeeds& needs) : needs_(needs), kept_(needs.always.size()) {}

  bool has(TokenId id) const { return kept_[static_cast<std::size_t>(id)]; }
  std::int64_t size() const { return size_; }

  // How many tokens came with it; -1: more than `room`, and nothing was added.
  std::int64_t add(TokenId id, std::int64_t room = std::numeric_limits<std::int64_t>::max()) {
    missing_.clear();
    collect(id);
    if (size_of(missing_) > room) {
      for (const TokenId one : missing_) kept_[static_cast<std::size_t>(one)] = false;
      return -1;
    }
    size_ += size_of(missing_);
    return size_of(missing_);
  }

  std::vector<TokenId> ids() const {
    std::vector<TokenId> out;
    for (std::size_t id = 0; id < kept_.size(); ++id)
      if (kept_[id]) out.push_back(static_cast<TokenId>(id));
    return out;
  }

 private:
  void collect(TokenId id) {
    // Parts are shorter than what they make; still, no recursion on data of a file.
    std::vector<TokenId> open = {id};
    while (!open.empty()) {
      const TokenId next = open.back();
      open.pop_back();
      if (next < 0 || has(next)) continue;
      kept_[static_cast<std::size_t>(next)] = true;
      missing_.push_back(next);
      const TokenPair parts = needs_.parts[static_cast<std::size_t>(next)];
      open.push_back(parts.left);
      open.push_back(parts.right);
    }
  }

  const VocabularyNeeds& needs_;
  std::vector<bool> kept_;
  std::vector<TokenId> missing_;
  std::int64_t size_ = 0;
};

Status check_choice(const Model& model, const VocabularyChoice& choice, std::int64_t tokens) {
  if (choice.counts.empty() && choice.size == 0)
    return fail(ErrorCode::kUsage,
                "say how many tokens to keep (--vocabulary N), or of which texts (--keep-tokens-of "
                "FILE)");
  if (!choice.counts.empty() && size_of(choice.counts) != tokens)
    return fail(ErrorCode::kUsage, "{}: {} counts for {} tokens", model.name(),
                choice.counts.size(), tokens);
  if (choice.size >= tokens)
    return fail(ErrorCode::kUsage, "{}: it has {} tokens; choose fewer than that to keep",
                model.name(), tokens);
  return {};
}

// Tokens in use, the most frequent first.
std::vector<TokenId> used_tokens(const VocabularyChoice& choice) {
  std::vector<TokenId> used;
  for (std::size_t id = 0; id < choice.counts.size(); ++id)
    if (choice.counts[id] >= std::max<std::int64_t>(choice.min_count, 1))
      used.push_back(static_cast<TokenId>(id));
  std::ranges::stable_sort(used, std::ranges::greater(),
                           [&](TokenId id) { return choice.counts[static_cast<std::size_t>(id)]; });
  return used;
}

Result<KeptVocabulary> choose(const Model& model, const VocabularyNeeds& needs,
                              const VocabularyChoice& choice) {
  KeptVocabulary out;
  Keeping keeping(needs);
  for (std::size_t id = 0; id < needs.always.size(); ++id)
    if (needs.always[id]) keeping.add(static_cast<TokenId>(id));
  for (const TokenId id : named_tokens(*model.gguf())) keeping.add(id);
  out.always = keeping.size();
  if (choice.size > 0 && out.always > choice.size)
    return fail(ErrorCode::kUsage,
                "{}: {} tokens are too few: {} have to stay (special tokens, single characters or "
                "bytes, and what they are merged from)",
                model.name(), choice.size, out.always);
  const auto room = [&] {
    return choice.size > 0 ? choice.size - keeping.size()
                           : std::numeric_limits<std::int64_t>::max();
  };
  for (const TokenId id : used_tokens(choice)) {
    if (keeping.has(id)) continue;
    const std::int64_t added = keeping.add(id, room());
    out.used += added > 0 ? 1 : 0;
    out.parts += std::max<std::int64_t>(added - 1, 0);
    out.left_out += added < 0 ? 1 : 0;
  }
  for (const TokenId id : needs.by_frequency) {
    if (choice.size == 0 || room() == 0) break;
    if (!keeping.has(id)) out.filled += std::max<std::int64_t>(keeping.add(id, room()), 0);
  }
  out.ids = keeping.ids();
  return out;
}

// The tokenizer that a draft will be read with.
Result<std::unique_ptr<Tokenizer>> tokenizer_of(const GgufDraft& draft, const std::string& name) {
  TACK_TRY(const std::string bytes, draft.keys_only());
  TACK_TRY(const GgufFile file, GgufFile::parse(std::as_bytes(std::span(bytes)), name));
  TACK_TRY(auto config, tokenizer_config_from_gguf(file));
  return make_tokenizer(std::move(config));
}

}  // namespace

std::vector<std::int64_t> count_tokens(const Tokenizer& tokenizer,
                                       std::span<const std::string> texts) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(tokenizer.vocab_size()));
  for (const std::string& text : texts)
    for (const TokenId id : tokenizer.encode(text).ids) ++counts[static_cast<std::size_t>(id)];
  return counts;
}

Result<KeptVocabulary> choose_vocabulary(const Model& model, const VocabularyChoice& choice) {
  const GgufFile* gguf = model.gguf();
  if (gguf == nullptr)
    return fail(ErrorCode::kUsage, "{}: convert the model to GGUF first (tack convert)",
                model.path().string());
  if (gguf->find("tokenizer.ggml.model") == nullptr)
    return fail(ErrorCode::kUsage, "{}: the file has no tokenizer", model.path().string());
  TACK_TRY(const TokenizerConfig config, tokenizer_config_from_gguf(*gguf));
  const VocabularyNeeds needs =
      std::visit([](const auto& of) { return vocabulary_needs(of); }, config);
  TACK_RETURN_IF_ERROR(check_choice(model, choice, size_of(needs.always)));
  return choose(model, needs, choice);
}

Result<VocabularyPruning> prune_vocabulary(const Model& model, const VocabularyChoice& choice,
                                           const std::filesystem::path& out) {
  VocabularyPruning result;
  TACK_TRY(result.kept, choose_vocabulary(model, choice));
  result.tokens_before = model.vocab_size();
  TACK_TRY(GgufDraft draft, with_tokens(model, result.kept.ids));
  TACK_RETURN_IF_ERROR(add_lineage(model,
                                   {{"vocabulary", result.kept.ids.size()},
                                    {"of", result.tokens_before},
                                    {"command", choice.command}},
                                   draft));
  TACK_TRY(result.tokenizer, tokenizer_of(draft, model.name()));
  result.bytes_before = model.file_bytes();
  TACK_TRY(result.bytes_after, draft.file_bytes());
  if (!out.empty()) TACK_RETURN_IF_ERROR(draft.write(out));
  return result;
}

TokenizationChange compare_tokenization(const Tokenizer& before, const Tokenizer& after,
                                        std::span<const TokenId> kept,
                                        std::span<const std::string> texts) {
  TokenizationChange change;
  std::vector<Word> old_words, new_words;
  // The tokens of word `i`, without what stands behind the last; a word may have none.
  const auto part = [](const Tokens& tokens, const std::vector<Word>& words, std::size_t i) {
    if (words[i].token < 0) return std::span<const TokenId>();
    const auto begin = static_cast<std::size_t>(words[i].token);
    std::size_t next = i + 1;
    while (next < words.size() && words[next].token < 0) ++next;
    const std::size_t end =
        next < words.size() ? static_cast<std::size_t>(words[next].token) : tokens.ids.size();
    return std::span<const TokenId>(tokens.ids).subspan(begin, end - begin);
  };
  for (const std::string& text : texts) {
    const Tokens a = before.encode_words(text, 0, old_words);
    const Tokens b = after.encode_words(text, 0, new_words);
    ++change.texts;
    change.tokens_before += size_of(a.ids);
    change.tokens_after += size_of(b.ids);
    change.words += size_of(old_words);
    for (std::size_t i = 0; i < std::min(old_words.size(), new_words.size()); ++i)
      if (std::ranges::equal(
              part(a, old_words, i), part(b, new_words, i),
              [&](TokenId was, TokenId is) { return kept[static_cast<std::size_t>(is)] == was; }))
        ++change.same_words;
  }
  return change;
}

Status add_lineage(const Model& model, const Json& entry, GgufDraft& draft) {
  Json lineage = Json::object();
  if (const Json* present = model.tack_metadata("lineage"); present != nullptr)
    lineage = *present;
  else
    lineage["base"] = model.name();
  Json& pruned = lineage["pruned"];
  if (!pruned.is_array()) pruned = Json::array();
  pruned.push_back(entry);
  draft.set("tack.lineage", GgufValue::string(to_text(lineage)));
  return {};
}

}  // namespace tack
