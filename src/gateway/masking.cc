#include "gateway/masking.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "gateway/restored_stream.h"

namespace tack::gateway {

using net::Async;
using privacy::Finding;

namespace {

// Members whose texts say how a request is to be answered, and nothing of anyone.
bool is_structural(std::string_view name) {
  constexpr std::array<std::string_view, 16> kNames{"model",
                                                    "role",
                                                    "type",
                                                    "id",
                                                    "tool_call_id",
                                                    "object",
                                                    "detail",
                                                    "format",
                                                    "effort",
                                                    "voice",
                                                    "service_tier",
                                                    "encoding_format",
                                                    "tool_choice",
                                                    "response_format",
                                                    "prompt_cache_key",
                                                    "reasoning_effort"};
  return std::ranges::find(kNames, name) != kNames.end();
}

// Parts of a message that nobody can read here.
bool is_opaque(std::string_view name) {
  return name == "image_url" || name == "input_audio" || name == "file" || name == "input_image" ||
         name == "input_file";
}

// The texts of a body, and the arguments of tools taken apart.
class Texts {
 public:
  explicit Texts(Json& body) { collect(body, ""); }

  const std::vector<Json*>& all() const { return texts_; }
  // Long numbers among arguments, which become texts when something is found in them.
  const std::vector<Json*>& numbers() const { return numbers_; }
  const std::string& opaque() const { return opaque_; }  // a part that cannot be read; "": none
  // Arguments that were changed are written again.
  void put_back() {
    for (const auto& [text, parsed, before] : arguments_)
      if (std::string now = to_text(*parsed); now != before) *text = std::move(now);
  }

 private:
  struct Arguments {
    Json* text;
    std::unique_ptr<Json> parsed;
    std::string before;
  };

  void collect(Json& node, std::string_view name) {
    if (is_opaque(name)) opaque_ = name;
    if (node.is_string()) {
      if (name == "arguments" && take_apart(node)) return;
      if (!is_structural(name)) texts_.push_back(&node);
      return;
    }
    // What an object says of its structure its own members say: {"type": "object", ...} of a
    // schema.
    if (node.is_object())
      for (auto& [key, value] : node.items()) collect(value, key);
    if (node.is_array())
      for (Json& value : node) collect(value, name);
  }
  bool take_apart(Json& node) {
    auto parsed =
        std::make_unique<Json>(Json::parse(node.get_ref<const std::string&>(), nullptr, false));
    if (!parsed->is_structured()) return false;
    std::string before = to_text(*parsed);
    collect_values(*parsed);
    arguments_.push_back({&node, std::move(parsed), std::move(before)});
    return true;
  }
  // Every value: what the members are called is the tool's own affair.
  void collect_values(Json& node) {
    if (node.is_number()) {  // a card's number, perhaps
      const std::string text = node.dump();
      if (text.size() >= 8) numbers_.push_back(&node);
    }
    if (node.is_string()) texts_.push_back(&node);
    if (node.is_structured())
      for (Json& value : node) collect_values(value);
  }

  std::vector<Json*> texts_, numbers_;
  std::vector<Arguments> arguments_;
  std::string opaque_;
};

// Which entity a tagger's name of spans is; "": none of ours.
std::string entity_of(std::string name) {
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  if (name == "person" || name == "per" || name == "name") return "PERSON";
  if (name == "location" || name == "loc" || name == "place" || name == "gpe") return "LOCATION";
  if (name == "organization" || name == "organisation" || name == "org" || name == "corporation" ||
      name == "company")
    return "ORGANIZATION";
  return "";
}

// Stretches of a text that a tagger can read at once, cut at white space.
constexpr std::size_t kPieceBytes = 512;

std::vector<std::string_view> pieces_of(std::string_view text) {
  std::vector<std::string_view> pieces;
  while (!text.empty()) {
    std::size_t end = std::min(text.size(), kPieceBytes);
    if (end < text.size()) {
      const std::size_t space = text.substr(0, end).find_last_of(" \t\r\n");
      if (space != std::string_view::npos && space > 0) end = space;
      while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
    }
    pieces.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return pieces;
}

// That the I/O thread looks at itself: well below a millisecond.
constexpr std::size_t kMostOwnBytes = 32 << 10;

// Puts pseudonyms in the place of what is found in the texts, and of `names` besides; says how many
// values there are.
std::size_t replace(const privacy::Finder& finder, const std::vector<std::vector<Finding>>& names,
                    const Texts& texts, privacy::Vault& vault) {
  for (const Json* text : texts.all()) vault.reserve(text->get_ref<const std::string&>());
  for (std::size_t i = 0; i < texts.all().size(); ++i) {
    auto& text = texts.all()[i]->get_ref<std::string&>();
    std::vector<Finding> findings = finder.find(text);
    findings.insert(findings.end(), names[i].begin(), names[i].end());
    if (!names[i].empty()) findings = privacy::without_overlaps(std::move(findings));
    if (!findings.empty()) text = vault.mask(text, findings);
  }
  for (Json* number : texts.numbers()) {
    const std::string text = number->dump();
    const std::vector<Finding> findings = finder.find(text);
    if (!findings.empty()) *number = vault.mask(text, findings);
  }
  return vault.size();
}

}  // namespace

Result<std::unique_ptr<const Masker>> Masker::create(const PrivacyConfig& config,
                                                     LocalModels& locals, net::Workers* workers) {
  TACK_TRY(auto finder, privacy::Finder::create(config.entities));
  return std::unique_ptr<const Masker>(
      new Masker(std::move(finder), config.names, locals, workers));
}

Async<Expected<std::vector<std::vector<Finding>>>> Masker::find_names(
    std::vector<std::string> texts) const {
  std::vector<std::vector<Finding>> found(texts.size());
  guard::Question question{.model = names_, .tags = true};
  std::vector<std::pair<std::size_t, std::size_t>> places;  // of pieces: text, first byte
  for (std::size_t i = 0; i < texts.size(); ++i)
    for (const std::string_view piece : pieces_of(texts[i])) {
      places.emplace_back(i, static_cast<std::size_t>(piece.data() - texts[i].data()));
      question.texts.emplace_back(piece);
    }
  if (question.texts.empty()) co_return found;
  auto answer = co_await locals_.ask(std::move(question));
  if (!answer) co_return std::unexpected(answer.error());
  for (std::size_t p = 0; p < places.size() && p < answer->spans.size(); ++p)
    for (const Span& span : answer->spans[p]) {
      const std::string entity = entity_of(span.name);
      const auto [text, first] = places[p];
      if (!entity.empty())
        found[text].push_back({entity, first + static_cast<std::size_t>(span.begin),
                               first + static_cast<std::size_t>(span.end), 0.5F});
    }
  co_return found;
}

Async<Expected<std::shared_ptr<const MaskedCall>>> Masker::mask(
    std::shared_ptr<const Call> call) const {
  const std::shared_ptr<MaskedCall> masked(new MaskedCall);
  masked->finder_ = finder_;
  auto own = std::make_shared<Call>(*call);
  Texts texts(own->body);
  if (!texts.opaque().empty())
    masked->why_not_ = fmt::format(
        "this request may leave the machine only without personal data, and nobody looks for that "
        "in its '{}': send text alone, or ask a local model",
        texts.opaque());
  std::vector<std::vector<Finding>> names(texts.all().size());
  if (!names_.empty()) {
    std::vector<std::string> copies;
    for (const Json* text : texts.all()) copies.push_back(text->get<std::string>());
    auto found = co_await find_names(std::move(copies));
    if (!found) co_return std::unexpected(found.error());
    names = *std::move(found);
  }
  std::size_t bytes = 0;
  for (const Json* text : texts.all()) bytes += text->get_ref<const std::string&>().size();
  auto replace_all = [&] { return replace(*finder_, names, texts, masked->vault_); };
  if (workers_ != nullptr && bytes > kMostOwnBytes)
    co_await net::offload(*workers_, replace_all);
  else
    replace_all();
  texts.put_back();
  masked->call_ = std::move(own);
  std::shared_ptr<const MaskedCall> done = masked;
  co_return done;
}

Json MaskedCall::kept(Json answer) const {
  Texts texts(answer);
  for (Json* text : texts.all()) {
    auto& own = text->get_ref<std::string&>();
    own = privacy::hide_values(vault_, own);
    own = vault_.mask(own, finder_->find(own));
  }
  texts.put_back();
  return answer;
}

Reply MaskedCall::restored(std::shared_ptr<const MaskedCall> masked, Reply reply) {
  if (masked->vault().size() == 0) return reply;
  if (reply.events)
    reply.events = restored_stream(std::move(masked), std::move(reply.events));
  else
    reply.body = restored_body(masked->vault(), reply.body);
  return reply;
}

}  // namespace tack::gateway
