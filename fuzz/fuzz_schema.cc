// Any JSON as a schema, then bytes through its automaton: what is accepted is JSON, the mask says
// the same as each token tried alone, and there is no dead end. Input: the schema, a byte 0, the
// bytes.
#include <cstdlib>

#include "text/constraint.h"

namespace {

tack::Constraint::Vocabulary vocabulary() {
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
  for (const char* text :
       {"\"}", "\"]", "[[", "{\"", "\":", ", ", "}}", "],[", "ab", "\\u00", "12", "\xe6\x9d"})
    tokens.emplace_back(text);
  tokens.emplace_back();
  const auto end = static_cast<tack::TokenId>(tokens.size()) - 1;
  auto made = tack::TokenVocabulary::create(std::move(tokens), {end});
  if (!made) std::abort();
  return *std::move(made);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const tack::Constraint::Vocabulary kVocabulary = vocabulary();
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = std::min(input.find('\0'), input.size());
  const auto schema = tack::parse_json(input.substr(0, cut), "schema");
  if (!schema) return 0;
  const auto constraint = tack::Constraint::from_schema(*schema, kVocabulary);
  if (!constraint) {
    const std::string& message = constraint.error().message;
    if (message.empty() || message.find('\n') != message.npos) std::abort();
    return 0;
  }
  tack::ConstraintState state(*constraint);
  std::vector<std::uint32_t> bits(kVocabulary->mask_words());
  const std::string_view bytes = cut < input.size() ? input.substr(cut + 1) : std::string_view();
  std::size_t at = 0;
  // The bytes as far as they go; then the first token that is allowed, for a while.
  for (int step = 0; step < 40; ++step) {
    const bool any = state.mask(bits);
    if (!any && !state.finished()) std::abort();
    std::size_t first = kVocabulary->size();
    for (std::size_t i = 0; i < kVocabulary->size(); ++i) {
      const bool allowed = (bits[i / 32] >> (i % 32) & 1U) != 0;
      if (allowed && first == kVocabulary->size()) first = i;
      if (step % 8 != 0) continue;
      tack::ConstraintState tried(state);
      if (tried.accept(static_cast<tack::TokenId>(i)) != allowed) std::abort();
    }
    if (at < bytes.size() && state.accept_bytes(bytes.substr(at, 1))) {
      ++at;
      continue;
    }
    at = bytes.size();
    const std::string forced = state.forced_bytes(8);
    if (!forced.empty()) {
      if (!state.accept_bytes(forced)) std::abort();
      continue;
    }
    if (state.finished() || first == kVocabulary->size()) break;
    if (!state.accept(static_cast<tack::TokenId>(first))) std::abort();
  }
  if (state.may_end() && !tack::parse_json(state.bytes(), "output")) std::abort();
  return 0;
}
