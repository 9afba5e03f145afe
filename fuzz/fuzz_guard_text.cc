// Any text through normalisation, unwrapping, windows and all checks that need no model; and as an
// answer that comes in pieces.
#include <cstdint>
#include <cstdlib>

#include "guard/encodings.h"
#include "guard/guard.h"
#include "guard/normalize.h"
#include "guard/passage_windows.h"
#include "text/unicode.h"

namespace {

using namespace tack::guard;

void require(bool holds) {
  if (!holds) std::abort();
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const tack::CodePoint c = tack::first_code_point(text);
    if (c.value < 0) return false;
    text.remove_prefix(c.bytes);
  }
  return true;
}

void check_map(const NormalText& text, std::size_t size) {
  require(is_utf8(text.text) && text.text.size() <= 11 * size);
  require(text.origin.empty() || text.origin.size() == text.text.size() + 1);
  require(text.original(text.text.size()) == size);
  for (std::size_t i = 0; i < text.text.size(); ++i)
    require(text.original(i) <= text.original(i + 1));
}

void check_text(std::string_view text) {
  for (const Lookalikes mode : {Lookalikes::kNone, Lookalikes::kByWord, Lookalikes::kAll}) {
    const NormalText normal = normalize(text, mode);
    check_map(normal, text.size());
    check_map(fold(normal), text.size());
  }
  const NormalText normal = normalize(text);
  for (const HiddenText& hidden : hidden_texts(normal.text)) require(is_utf8(hidden.text));
  std::size_t covered = 0;
  for (const std::string_view window : cut_windows(normal.text, 32)) {
    const auto begin = static_cast<std::size_t>(window.data() - normal.text.data());
    require(!window.empty() && is_utf8(window));
    for (std::size_t i = covered; i < begin; ++i)  // only white space lies between windows
      require(tack::is_white_space(tack::first_code_point(normal.text.substr(i)).value) ||
              (static_cast<unsigned char>(normal.text[i]) & 0xC0U) == 0x80U);
    require(begin + window.size() > covered);
    covered = begin + window.size();
  }
}

std::shared_ptr<const Guard> make_guard() {
  GuardConfig config;
  std::vector<CheckConfig> checks = {
      {.kind = CheckKind::kWords, .name = "w", .words = {"bomb", "secret plan", "сор", "爆弾"}},
      {.kind = CheckKind::kRegex, .name = "r", .patterns = {"(a+)+b", "\\d{3}-\\d{4}"}},
      {.kind = CheckKind::kUrls, .name = "u", .allow = {"example.com"}},
      {.kind = CheckKind::kPii, .name = "p"},
      {.kind = CheckKind::kSecrets, .name = "s"},
      {.kind = CheckKind::kLanguage, .name = "l", .only = {"en"}},
      {.kind = CheckKind::kLength, .name = "n", .max_chars = 1000, .max_tokens = 100}};
  config.input = config.output = checks;
  config.output.push_back({.kind = CheckKind::kSchema,
                           .name = "j",
                           .schema = R"({"type":"object","properties":{"a":{"type":"integer"}}})"});
  auto guard = Guard::create(
      config, [](const std::string&) -> tack::Result<GuardModel> { return tack::fail("none"); });
  require(guard.has_value());
  return *guard;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::shared_ptr<const Guard> guard = make_guard();
  const std::string text(reinterpret_cast<const char*>(data), size);
  check_text(text);
  const Subject subject{.passages = {{Role::kUser, text}, {Role::kTool, text}}};
  require(guard->questions(Stage::kInput, subject).empty());
  require(!tack::to_text(guard->judge(Stage::kInput, subject, {}).to_json()).empty());
  for (const std::size_t part : {size, size / 2}) {
    const std::string answer = text.substr(0, part);
    require(guard->held_back(answer) <= std::min<std::size_t>(answer.size(), 1024));
    const Verdict verdict = guard->judge(
        Stage::kOutput, {.passages = {{Role::kAssistant, answer}}, .complete = part == size}, {});
    require(verdict.findings.size() == 8);
  }
  return 0;
}
