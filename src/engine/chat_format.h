// How a model wants a conversation: its file's chat template, or the built-in one of its family.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "models/model.h"
#include "text/chat.h"
#include "text/tool_calls.h"

namespace tack {

// Immutable; any thread.
class ChatFormat {
 public:
  // `model` must outlive it. Errors: the template of the file cannot be read (file, line).
  static Result<ChatFormat> of(const Model& model);

  // The prompt's tokens; it ends with what an answer begins with, if that is asked for. `tools`:
  // from chat::parse_tools. Errors are the template's.
  Result<std::vector<TokenId>> prompt(std::span<const chat::Message> messages,
                                      const Json& tools = nullptr,
                                      const Json& variables = Json::object(),
                                      bool begin_answer = true) const;
  chat::ToolFormat tool_format() const { return tool_format_; }

  // Whether the model was made for conversations: its file has a template, or its vocabulary the
  // tokens of one.
  bool made_for_chat() const { return made_for_chat_; }

 private:
  ChatFormat(const Model& model, Template chat_template)
      : model_(&model), template_(std::move(chat_template)) {}

  const Model* model_;
  Template template_;
  chat::ToolFormat tool_format_ = chat::ToolFormat::kJson;
  bool made_for_chat_ = false;
};

// A prompt that is text alone: special tokens in it are letters, the model's beginning is put in
// front.
std::vector<TokenId> text_prompt(const Model& model, std::string_view text);

}  // namespace tack
