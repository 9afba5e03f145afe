#include "models/chat_template.h"

#include <filesystem>

#include "base/atomic_file.h"

namespace tack {

namespace {

constexpr std::size_t kLongestTemplate = std::size_t{4} << 20;

}  // namespace

std::string chat_template_of(const GgufFile& file) {
  const GgufValue* value = file.find(kChatTemplateKey);
  const auto* text = value == nullptr ? nullptr : std::get_if<std::string>(&value->value);
  return text == nullptr ? std::string() : *text;
}

Result<std::string> chat_template_of(const HuggingFaceDirectory& directory) {
  const auto path = directory.path / "chat_template.jinja";
  if (std::filesystem::exists(path)) return read_file(path, kLongestTemplate);
  if (!directory.tokenizer_config) return std::string();
  const Json& config = *directory.tokenizer_config;
  const auto found = config.find("chat_template");
  if (found == config.end()) return std::string();
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_array()) return std::string();
  for (const Json& named : *found)
    if (named.is_object() && named.value("name", Json()) == "default" &&
        named.value("template", Json()).is_string())
      return named["template"].get<std::string>();
  return std::string();
}

}  // namespace tack
