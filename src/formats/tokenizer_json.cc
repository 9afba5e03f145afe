#include "formats/tokenizer_json.h"

#include <algorithm>
#include <optional>

#include <simdjson.h>

namespace tack {
namespace {

using simdjson::dom::element;

constexpr std::uint64_t kMostGaps = std::uint64_t{1} << 16U;  // ids without a token

// most: entries that the file has, so that one of them cannot ask for more memory than all.
Status place(std::vector<std::string>& tokens, std::string_view text, std::uint64_t id,
             std::size_t most, std::string_view name) {
  if (id >= most + kMostGaps)
    return fail("{}: the id of '{}' is {}, of about {} tokens", name, text, id, most);
  if (id >= tokens.size()) tokens.resize(id + 1);
  if (!tokens[id].empty() && tokens[id] != text)
    return fail("{}: '{}' and '{}' have the same id {}", name, tokens[id], text, id);
  tokens[id] = text;
  return {};
}

Status read_vocab(const element& vocab, std::string_view name, TokenizerJson& out) {
  if (simdjson::dom::object object; vocab.get(object) == simdjson::SUCCESS) {
    for (const auto& [text, value] : object) {
      std::uint64_t id = 0;
      if (value.get(id) != simdjson::SUCCESS)
        return fail("{}: model.vocab: the id of '{}' is no number", name, text);
      TACK_RETURN_IF_ERROR(place(out.tokens, text, id, object.size(), name));
    }
    return {};
  }
  simdjson::dom::array array;
  if (vocab.get(array) != simdjson::SUCCESS)
    return fail("{}: model.vocab is neither an object nor a list", name);
  for (const element& entry : array) {
    std::string_view text;
    double score = 0;
    if (entry.at(0).get(text) != simdjson::SUCCESS || entry.at(1).get(score) != simdjson::SUCCESS)
      return fail("{}: model.vocab: entry {} is not a text and a score", name, out.tokens.size());
    out.tokens.emplace_back(text);
    out.scores.push_back(score);
  }
  return {};
}

Status read_merges(const element& merges, std::string_view name, TokenizerJson& out) {
  simdjson::dom::array array;
  if (merges.get(array) != simdjson::SUCCESS) return fail("{}: model.merges is no list", name);
  for (const element& merge : array) {
    std::string_view left, right;
    if (std::string_view both; merge.get(both) == simdjson::SUCCESS) {
      const std::size_t space = both.find(' ', 1);
      if (space == both.npos) return fail("{}: model.merges: '{}' is not two tokens", name, both);
      left = both.substr(0, space);
      right = both.substr(space + 1);
    } else if (merge.at(0).get(left) != simdjson::SUCCESS ||
               merge.at(1).get(right) != simdjson::SUCCESS) {
      return fail("{}: model.merges: entry {} is not two tokens", name, out.merges.size());
    }
    out.merges.emplace_back(left, right);
  }
  return {};
}

Status read_added(const element& added, std::string_view name, TokenizerJson& out) {
  simdjson::dom::array array;
  if (added.get(array) != simdjson::SUCCESS) return {};  // null
  const std::size_t most = out.tokens.size() + array.size();
  for (const element& entry : array) {
    TokenizerJson::Added token;
    std::string_view text;
    std::uint64_t id = 0;
    if (entry["content"].get(text) != simdjson::SUCCESS ||
        entry["id"].get(id) != simdjson::SUCCESS || text.empty())
      return fail("{}: added_tokens: entry {} has no content and id", name, out.added.size());
    const auto flag = [&](const char* key) {
      bool value = false;
      return entry[key].get(value) == simdjson::SUCCESS && value;
    };
    token.text = text;
    token.id = static_cast<std::int64_t>(id);
    token.special = flag("special");
    token.strips_left = flag("lstrip");
    token.strips_right = flag("rstrip");
    if (flag("single_word"))
      return fail("{}: added token '{}' is to match whole words only, which is not supported", name,
                  text);
    TACK_RETURN_IF_ERROR(place(out.tokens, text, id, most, name));
    out.added.push_back(std::move(token));
  }
  return {};
}

Result<Json> small_part(const element& value, std::string_view name) {
  return parse_json(simdjson::minify(value), name);
}

Result<TokenizerJson> read(const element& root, std::string_view name) {
  TokenizerJson out;
  simdjson::dom::object object, model;
  if (root.get(object) != simdjson::SUCCESS || root["model"].get(model) != simdjson::SUCCESS)
    return fail("{}: no model: not a tokenizer.json", name);
  out.rest = Json::object();
  Json& settings = out.rest["model"] = Json::object();
  for (const auto& [key, value] : model) {
    if (key == "vocab")
      TACK_RETURN_IF_ERROR(read_vocab(value, name, out));
    else if (key == "merges")
      TACK_RETURN_IF_ERROR(read_merges(value, name, out));
    else {
      TACK_TRY(settings[std::string(key)], small_part(value, name));
    }
  }
  if (out.tokens.empty()) return fail("{}: model.vocab is missing or empty", name);
  for (const auto& [key, value] : object) {
    if (key == "added_tokens")
      TACK_RETURN_IF_ERROR(read_added(value, name, out));
    else if (key != "model") {
      TACK_TRY(out.rest[std::string(key)], small_part(value, name));
    }
  }
  return out;
}

}  // namespace

Result<TokenizerJson> TokenizerJson::parse(std::string_view text, std::string_view name) {
  simdjson::dom::parser parser;
  element root;
  if (const auto error = parser.parse(text.data(), text.size()).get(root);
      error != simdjson::SUCCESS)
    return fail("{}: not valid JSON: {}", name, simdjson::error_message(error));
  return read(root, name);
}

}  // namespace tack
