#include "engine/chat_format.h"

namespace tack {

Result<ChatFormat> ChatFormat::of(const Model& model) {
  const Tokenizer& tokenizer = model.tokenizer();
  std::string source = model.chat_template();
  bool made_for_chat = true;
  if (source.empty()) {
    const auto has_token = [&](std::string_view text) {
      for (TokenId id = 0; id < tokenizer.vocab_size(); ++id)
        if (tokenizer.token(id) == text) return true;
      return false;
    };
    const chat::Family family = chat::family_of(model.architecture(), has_token);
    source = chat::built_in_template(family);
    // Without markers of its own the family's template is text that the model has never seen.
    made_for_chat = family != chat::Family::kChatml || has_token("<|im_end|>");
  }
  auto parsed = Template::parse(source);
  if (!parsed) return std::unexpected(std::move(parsed).error().in(model.path().string()));
  ChatFormat format(model, *std::move(parsed));
  format.tool_format_ = chat::tool_format(source);
  format.made_for_chat_ = made_for_chat;
  return format;
}

Result<std::vector<TokenId>> ChatFormat::prompt(std::span<const chat::Message> messages,
                                                const Json& tools, const Json& variables,
                                                bool begin_answer) const {
  const Tokenizer& tokenizer = model_->tokenizer();
  const auto text_of = [&](const std::optional<TokenId>& id) {
    return id ? std::string(tokenizer.token(*id)) : std::string();
  };
  chat::Options options;
  options.bos_token = text_of(tokenizer.special().bos);
  options.eos_token = text_of(tokenizer.special().eos);
  options.variables = variables;
  options.add_generation_prompt = begin_answer;
  TACK_TRY(const std::string text, chat::render_chat(template_, messages, tools, options));
  return tokenizer.encode_with_special(text).ids;
}

std::vector<TokenId> text_prompt(const Model& model, std::string_view text) {
  std::vector<TokenId> ids = model.tokenizer().encode(text).ids;
  // The end that some tokenizers put behind a text is for training.
  if (model.tokenizer().special().add_eos && !ids.empty()) ids.pop_back();
  return ids;
}

}  // namespace tack
