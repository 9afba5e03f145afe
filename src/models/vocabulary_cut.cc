#include "models/vocabulary_cut.h"

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "base/json.h"
#include "text/byte_bpe.h"

namespace tack {
namespace {

using Integers = std::vector<std::int64_t>;

constexpr std::string_view kPrefix = "tokenizer.ggml.";

bool names_token(std::string_view key) {
  return key.starts_with(kPrefix) && key.ends_with("_token_id");
}
bool names_tokens(std::string_view key) {
  return key.starts_with(kPrefix) && key.ends_with("_token_ids");
}

// The id of an integer value; -1: none, which files also write as 2^32 - 1.
std::int64_t id_of(const GgufValue& value, std::size_t tokens) {
  std::int64_t id = -1;
  if (const auto* number = std::get_if<std::uint64_t>(&value.value))
    id = static_cast<std::int64_t>(*number);
  else if (const auto* negative = std::get_if<std::int64_t>(&value.value))
    id = *negative;
  return id >= 0 && id < static_cast<std::int64_t>(tokens) ? id : -1;
}

template <class T>
std::vector<T> picked(const std::vector<T>& all, std::span<const TokenId> kept) {
  std::vector<T> out;
  out.reserve(kept.size());
  for (const TokenId id : kept) out.push_back(all[static_cast<std::size_t>(id)]);
  return out;
}

// Changes the values of keys that name tokens.
class Renumbering {
 public:
  Renumbering(std::span<const std::string> tokens, std::span<const TokenId> kept)
      : tokens_(tokens), kept_(kept), now_(tokens.size(), -1) {
    for (std::size_t i = 0; i < kept.size(); ++i)
      now_[static_cast<std::size_t>(kept[i])] = static_cast<std::int64_t>(i);
    // Merges of bytes write user-defined tokens as they write text.
    for (const TokenId id : kept) {
      const std::string& text = tokens[static_cast<std::size_t>(id)];
      texts_.insert(text);
      if (text.contains(' ')) texts_.insert(printable_of_bytes(text));
    }
  }

  // False: the key goes.
  Result<bool> apply(std::string_view key, GgufValue& value) const {
    if (key == "tokenizer.huggingface.json") return false;  // the whole of it, as it was
    if (key == "tack.tokenizer") {
      TACK_RETURN_IF_ERROR(settings(value));
      return true;
    }
    if (names_token(key)) {
      if (const std::int64_t id = id_of(value, now_.size()); id >= 0)
        value = GgufValue::u32(static_cast<std::uint32_t>(now_[static_cast<std::size_t>(id)]));
    } else if (names_tokens(key)) {
      if (auto* ids = std::get_if<Integers>(&value.value)) *ids = renumbered(*ids);
    } else if (key == "tokenizer.ggml.merges") {
      if (auto* merges = std::get_if<GgufValue::Strings>(&value.value))
        std::erase_if(*merges, [&](const std::string& merge) { return !joins_kept(merge); });
    } else if (key == "tokenizer.ggml.tokens" || key == "tokenizer.ggml.scores" ||
               key == "tokenizer.ggml.token_type") {
      return pick(value);
    }
    return true;
  }

 private:
  Integers renumbered(const Integers& ids) const {
    Integers out;
    for (const std::int64_t id : ids)
      if (id >= 0 && id < static_cast<std::int64_t>(now_.size()) &&
          now_[static_cast<std::size_t>(id)] >= 0)
        out.push_back(now_[static_cast<std::size_t>(id)]);
    return out;
  }

  Result<bool> pick(GgufValue& value) const {
    const auto pick_from = [&](auto& list) {
      if (list.size() != tokens_.size()) return false;
      list = picked(list, kept_);
      return true;
    };
    if (auto* strings = std::get_if<GgufValue::Strings>(&value.value)) return pick_from(*strings);
    if (auto* integers = std::get_if<Integers>(&value.value)) return pick_from(*integers);
    if (auto* numbers = std::get_if<std::vector<double>>(&value.value)) return pick_from(*numbers);
    return true;
  }

  // "left right", in the spelling of the tokens; tokens have no spaces, but one may begin with it.
  bool joins_kept(const std::string& merge) const {
    const std::size_t space = merge.find(' ', 1);
    if (space == merge.npos) return false;
    const std::string left = merge.substr(0, space), right = merge.substr(space + 1);
    return texts_.contains(left) && texts_.contains(right) && texts_.contains(left + right);
  }

  Status settings(GgufValue& value) const {
    auto* text = std::get_if<std::string>(&value.value);
    if (text == nullptr) return {};
    TACK_TRY(Json json, parse_json(*text, "tack.tokenizer"));
    for (const char* key : {"strips_left", "strips_right"}) {
      const auto list = json.is_object() ? json.find(key) : json.end();
      if (list == json.end() || !list->is_array()) continue;
      Integers ids;
      for (const Json& id : *list)
        if (id.is_number_integer()) ids.push_back(id.get<std::int64_t>());
      *list = renumbered(ids);
    }
    *text = to_text(json);
    return {};
  }

  std::span<const std::string> tokens_;
  std::span<const TokenId> kept_;
  Integers now_;                           // by old id; -1: gone
  std::unordered_set<std::string> texts_;  // as merges write the tokens
};

// The rows of one tensor, in order, as they lie.
Status emit_rows(const TensorView& view, std::size_t row_bytes, std::span<const TokenId> kept,
                 const GgufWriter::Sink& sink) {
  // Neighbours go at once.
  for (std::size_t i = 0; i < kept.size();) {
    std::size_t end = i + 1;
    while (end < kept.size() && kept[end] == kept[end - 1] + 1) ++end;
    TACK_RETURN_IF_ERROR(sink(
        view.bytes.subspan(static_cast<std::size_t>(kept[i]) * row_bytes, (end - i) * row_bytes)));
    i = end;
  }
  return {};
}

Status check_kept(const Model& model, std::span<const TokenId> kept, std::size_t tokens) {
  if (kept.empty() || kept.front() < 0 || static_cast<std::size_t>(kept.back()) >= tokens ||
      std::ranges::adjacent_find(kept, std::ranges::greater_equal()) != kept.end())
    return fail(ErrorCode::kUsage,
                "{}: the tokens to keep must be different ids below {}, ascending", model.name(),
                tokens);
  for (const TokenId id : named_tokens(*model.gguf()))
    if (!std::ranges::binary_search(kept, id))
      return fail(ErrorCode::kUsage, "{}: token {} has a name in the file, and must stay",
                  model.name(), id);
  return {};
}

}  // namespace

std::vector<TokenId> named_tokens(const GgufFile& file) {
  std::vector<TokenId> out;
  const auto tokens = file.strings("tokenizer.ggml.tokens");
  if (!tokens) return out;
  for (const auto& [key, value] : file.metadata()) {
    if (names_token(key))
      if (const std::int64_t id = id_of(value, tokens->size()); id >= 0)
        out.push_back(static_cast<TokenId>(id));
    if (const auto* ids = std::get_if<Integers>(&value.value); ids != nullptr && names_tokens(key))
      for (const std::int64_t id : *ids)
        if (id >= 0 && id < static_cast<std::int64_t>(tokens->size()))
          out.push_back(static_cast<TokenId>(id));
  }
  return out;
}

Result<GgufDraft> with_tokens(const Model& model, std::span<const TokenId> kept) {
  const GgufFile* gguf = model.gguf();
  if (gguf == nullptr)
    return fail(ErrorCode::kUsage, "{}: convert the model to GGUF first (tack convert)",
                model.path().string());
  const auto tokens = gguf->strings("tokenizer.ggml.tokens");
  if (!tokens)
    return fail(ErrorCode::kUsage, "{}: the file has no tokenizer", model.path().string());
  TACK_RETURN_IF_ERROR(check_kept(model, kept, tokens->size()));
  const Renumbering renumbering(*tokens, kept);
  GgufDraft draft;
  for (const auto& [key, value] : gguf->metadata()) {
    GgufValue changed = value;
    TACK_TRY(const bool stays, renumbering.apply(key, changed));
    if (key == model.architecture() + ".vocab_size")
      changed = GgufValue::u32(static_cast<std::uint32_t>(kept.size()));
    if (stays) draft.set(key, std::move(changed));
  }
  for (const GgufTensor& tensor : gguf->tensors()) {
    const bool by_token = tensor.name == "token_embd.weight" || tensor.name == "output.weight" ||
                          tensor.name == "output.bias";
    if (!by_token) {
      draft.add_view(tensor.name, tensor.view);
      continue;
    }
    Shape shape = tensor.view.shape;
    if (shape.empty() || shape[0] < static_cast<std::int64_t>(tokens->size()))
      return fail("{}: {} {} has fewer rows than the {} tokens", model.path().string(), tensor.name,
                  to_string(shape), tokens->size());
    const std::size_t row_bytes = tensor.view.bytes.size() / static_cast<std::size_t>(shape[0]);
    shape[0] = static_cast<std::int64_t>(kept.size());
    draft.add_source(tensor.name, tensor.view.dtype, std::move(shape),
                     [&view = tensor.view, row_bytes, kept](const GgufWriter::Sink& sink) {
                       return emit_rows(view, row_bytes, kept, sink);
                     });
  }
  return draft;
}

}  // namespace tack
