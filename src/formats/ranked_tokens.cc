#include "formats/ranked_tokens.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <simdjson.h>

namespace tack {
namespace {

constexpr std::uint64_t kMostSpecials = std::uint64_t{1} << 16U;

// tokens: one for each entry that the file may have, "" where none was yet.
Status take(std::string_view base64, std::uint64_t rank, std::string_view name,
            std::vector<std::string>& tokens) {
  auto bytes = decode_base64(base64);
  if (!bytes || bytes->empty())
    return fail("{}: the token of rank {} is not base64 of any bytes", name, rank);
  if (rank >= tokens.size())
    return fail("{}: rank {} is too large for {} tokens", name, rank, tokens.size());
  if (!tokens[rank].empty()) return fail("{}: rank {} is there twice", name, rank);
  tokens[rank] = *std::move(bytes);
  return {};
}

// Ranks from 0 on, without a gap.
Status whole(std::vector<std::string>& tokens, std::string_view name) {
  while (!tokens.empty() && tokens.back().empty()) tokens.pop_back();
  const auto gap = std::ranges::find(tokens, "");
  if (gap != tokens.end()) return fail("{}: no token of rank {}", name, gap - tokens.begin());
  if (tokens.empty()) return fail("{}: no tokens", name);
  return {};
}

using simdjson::dom::element;

Result<RankedTokens> tekken(const element& root, std::string_view name) {
  RankedTokens out;
  std::string_view pattern;
  std::uint64_t vocabulary = 0, specials = 0;
  if (root["config"]["pattern"].get(pattern) != simdjson::SUCCESS ||
      root["config"]["default_vocab_size"].get(vocabulary) != simdjson::SUCCESS ||
      root["config"]["default_num_special_tokens"].get(specials) != simdjson::SUCCESS)
    return fail(
        "{}: config has no pattern, default_vocab_size and default_num_special_tokens: "
        "not a tekken.json",
        name);
  if (specials > kMostSpecials || specials > vocabulary)
    return fail("{}: {} tokens, {} of them special", name, vocabulary, specials);
  out.pattern = pattern;
  simdjson::dom::array list;
  if (root["vocab"].get(list) != simdjson::SUCCESS) return fail("{}: vocab is missing", name);
  out.tokens.resize(list.size());
  for (const element& token : list) {
    std::uint64_t rank = 0;
    std::string_view bytes;
    if (token["rank"].get(rank) != simdjson::SUCCESS ||
        token["token_bytes"].get(bytes) != simdjson::SUCCESS)
      return fail("{}: vocab has an entry without rank and token_bytes", name);
    // The file holds more than the model uses.
    if (rank >= vocabulary - specials) continue;
    if (auto status = take(bytes, rank, name, out.tokens); !status)
      return std::unexpected(status.error());
  }
  if (auto status = whole(out.tokens, name); !status) return std::unexpected(status.error());
  out.specials.resize(specials);
  if (root["special_tokens"].get(list) == simdjson::SUCCESS)
    for (const element& token : list) {
      std::uint64_t rank = 0;
      std::string_view text;
      if (token["rank"].get(rank) != simdjson::SUCCESS ||
          token["token_str"].get(text) != simdjson::SUCCESS || rank >= specials)
        return fail("{}: special_tokens has an entry without rank and token_str", name);
      out.specials[rank] = text;
    }
  return out;
}

}  // namespace

Result<std::string> decode_base64(std::string_view text) {
  static constexpr auto kDigits = [] {
    std::array<std::int8_t, 256> digits{};
    digits.fill(-1);
    std::int8_t next = 0;
    for (char c = 'A'; c <= 'Z'; ++c) digits[static_cast<unsigned char>(c)] = next++;
    for (char c = 'a'; c <= 'z'; ++c) digits[static_cast<unsigned char>(c)] = next++;
    for (char c = '0'; c <= '9'; ++c) digits[static_cast<unsigned char>(c)] = next++;
    digits['+'] = next++;
    digits['/'] = next++;
    return digits;
  }();
  while (text.ends_with('=')) text.remove_suffix(1);
  if (text.size() % 4 == 1) return fail("not base64");
  std::string bytes;
  std::uint32_t held = 0;
  int bits = 0;
  for (const char c : text) {
    const std::int8_t digit = kDigits[static_cast<unsigned char>(c)];
    if (digit < 0) return fail("not base64");
    held = held << 6U | static_cast<std::uint32_t>(digit);
    bits += 6;
    if (bits >= 8) bytes += static_cast<char>(held >> static_cast<unsigned>(bits -= 8) & 0xFFU);
  }
  return bytes;
}

Result<RankedTokens> RankedTokens::parse_tekken(std::string_view json, std::string_view name) {
  simdjson::dom::parser parser;
  element root;
  if (parser.parse(json.data(), json.size()).get(root) != simdjson::SUCCESS)
    return fail("{}: not valid JSON", name);
  return tekken(root, name);
}

Result<RankedTokens> RankedTokens::parse_tiktoken(std::string_view text, std::string_view name) {
  RankedTokens out;
  out.tokens.resize(static_cast<std::size_t>(std::ranges::count(text, '\n')) + 1);
  for (std::size_t line = 1; !text.empty(); ++line) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view entry = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (entry.ends_with('\r')) entry.remove_suffix(1);
    if (entry.empty()) continue;
    const std::size_t space = entry.find(' ');
    std::uint64_t rank = 0;
    const char* const last = entry.data() + entry.size();
    if (space == entry.npos) return fail("{}: line {} is not a token and its rank", name, line);
    const auto [stop, error] = std::from_chars(entry.data() + space + 1, last, rank);
    if (error != std::errc() || stop != last)
      return fail("{}: line {} is not a token and its rank", name, line);
    if (auto status = take(entry.substr(0, space), rank, name, out.tokens); !status)
      return std::unexpected(status.error());
  }
  if (auto status = whole(out.tokens, name); !status) return std::unexpected(status.error());
  return out;
}

}  // namespace tack
