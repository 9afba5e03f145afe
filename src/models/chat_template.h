// The chat template of a model's files (text/chat.h renders it).
#pragma once

#include <string>

#include "base/result.h"
#include "formats/gguf.h"
#include "formats/huggingface.h"

namespace tack {

inline constexpr const char* kChatTemplateKey = "tokenizer.chat_template";

// Empty: there is none. GGUF: the key above. Hugging Face: chat_template.jinja, else
// tokenizer_config.json, where of several the one called "default" counts.
std::string chat_template_of(const GgufFile& file);
Result<std::string> chat_template_of(const HuggingFaceDirectory& directory);

}  // namespace tack
