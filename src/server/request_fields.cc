#include "server/request_fields.h"

#include <algorithm>
#include <array>

namespace tack::server::fields {
namespace {

using Use = Field::Use;

constexpr const char* kString = R"({"type":"string"})";
constexpr const char* kNumber = R"({"type":"number"})";
constexpr const char* kCount = R"({"type":"integer","minimum":0})";
constexpr const char* kFlag = R"({"type":"boolean"})";
constexpr const char* kObject = R"({"type":"object"})";
constexpr const char* kStrings = R"({"type":["string","array"],"items":{"type":"string"}})";
constexpr const char* kIds = R"({"type":"array","items":{"type":"integer","minimum":0}})";

constexpr Field kModel = {"model", kString,
                          "A name of GET /v1/models; may be left out where only one model suits."};
constexpr Field kUser = {"user", kString, "Who asks; not used.", Use::kHint};

// What both completions take.
constexpr Field kGeneration[] = {
    kModel,
    {"stream", kFlag, "Events as the answer is written, in place of one object."},
    {"stream_options", kObject, "include_usage: one more event at the end."},
    {"temperature", kNumber, "0 takes the most likely token."},
    {"top_p", kNumber, "Of the probability that is kept."},
    {"top_k", R"({"type":"integer","minimum":-1})", "Tokens that are kept; -1 or 0: all."},
    {"min_p", kNumber, "Of the most likely token's probability, below which tokens are dropped."},
    {"repetition_penalty", kNumber, "Divides the logits of tokens that were there."},
    {"presence_penalty", kNumber, "Taken off the logits of tokens that were written."},
    {"frequency_penalty", kNumber, "The same, for each time that they were."},
    {"logit_bias", R"({"type":"object","additionalProperties":{"type":"number"}})",
     "Token ids to what is added to their logits."},
    {"seed", R"({"type":"integer"})", "The same seed gives the same answer."},
    {"stop", kStrings, "Ends the answer before one of these."},
    {"max_tokens", kCount, "Of the answer."},
    {"response_format", kObject,
     "Text, json_object, or json_schema with a schema that the answer is bound to."},
    {"guided_choice", R"({"type":"array","items":{"type":"string"},"minItems":1})",
     "The answer is one of these."},
    {"n", "[1]", "one answer a request", Use::kOnly},
    kUser,
};

constexpr Field kStreamOptions[] = {
    {"include_usage", kFlag, "One more event at the end."},
    {"include_obfuscation", kFlag, "Not used: events have no padding.", Use::kHint},
};

constexpr Field kChat[] = {
    {"messages", R"({"type":"array","items":{"type":"object"},"minItems":1})",
     "The conversation; contents are texts.", Use::kRead, true},
    {"tools", R"({"type":"array","items":{"type":"object"}})", "Functions that may be called."},
    {"tool_choice", R"({"type":["string","object"]})",
     "auto, none, required, or {\"type\": \"function\", \"function\": {\"name\": ...}}."},
    {"chat_template_kwargs", kObject, "Further variables of the model's chat template."},
    {"max_completion_tokens", kCount, "The same as max_tokens."},
    {"logprobs", kFlag, "The probabilities of tokens; of a task model those of its labels."},
    {"top_logprobs", R"({"type":"integer","minimum":0,"maximum":20})", "How many of them."},
    {"parallel_tool_calls", kFlag, "false is taken only where one call at most can come anyway."},
    {"metadata", kObject, "Not used.", Use::kHint},
    {"safety_identifier", kString, "Not used.", Use::kHint},
    {"prompt_cache_key", kString, "Not used: prompts that begin alike are always found.",
     Use::kHint},
    {"prompt_cache_retention", kString, "Not used.", Use::kHint},
    {"prompt_cache_options", kObject, "Not used.", Use::kHint},
    {"prediction", kObject, "Not used: it changes how fast an answer comes, not the answer.",
     Use::kHint},
    {"store", "[false]", "nothing is stored", Use::kOnly},
    {"service_tier", R"(["auto","default"])", "there is one tier", Use::kOnly},
    {"modalities", R"([["text"]])", "answers are texts", Use::kOnly},
    {"reasoning_effort", R"(["none"])",
     "what a model's chat template knows of it goes into 'chat_template_kwargs'", Use::kOnly},
    {"verbosity", R"(["medium"])", "answers have the length that the model gives them", Use::kOnly},
    {"audio", "", "", Use::kRefused},
    {"functions", "", "use 'tools'", Use::kRefused},
    {"function_call", "", "use 'tool_choice'", Use::kRefused},
    {"web_search_options", "", "", Use::kRefused},
    {"moderation", "", "", Use::kRefused},
};

constexpr Field kCompletion[] = {
    {"prompt", R"({"type":["string","array"]})", "A text, or token ids.", Use::kRead, true},
    {"logprobs", R"({"type":"integer","minimum":0,"maximum":20})",
     "How many tokens to show with each."},
    {"best_of", "[1]", "one answer a request", Use::kOnly},
    {"echo", "[false]", "the answer does not repeat the prompt", Use::kOnly},
    {"suffix", "", "", Use::kRefused},
};

constexpr Field kEmbeddings[] = {
    kModel,
    {"input", R"({"type":["string","array"]})", "A text, texts, token ids, or lists of them.",
     Use::kRead, true},
    {"encoding_format", R"({"enum":["float","base64"]})", "base64: little-endian 32-bit floats."},
    {"dimensions", R"({"type":"integer","minimum":1})", "The model's own, or an error."},
    kUser,
};

constexpr Field kClassify[] = {
    kModel,
    {"input", kStrings, "A text, or texts.", Use::kRead, true},
    {"head", kString, "Of a model with several: the only one to answer."},
    {"top_k", R"({"type":"integer","minimum":1})", "Probabilities to show; 5 by default."},
    kUser,
};

constexpr Field kTag[] = {
    kModel, {"input", kStrings, "A text, or texts.", Use::kRead, true}, kUser};

constexpr Field kQuestion[] = {
    {"question", kString, "What is asked.", Use::kRead, true},
    {"context", kString, "Where the answer is looked for.", Use::kRead, true},
};

constexpr Field kExtract[] = {
    kModel,
    {"question", kString, "What is asked."},
    {"context", kString, "Where the answer is looked for."},
    {"input", R"({"type":"array","items":{"type":"object","required":["question","context"]}})",
     "Or several, each with question and context."},
    kUser,
};

constexpr Field kDecisions[] = {
    kModel,
    {"input", R"({"type":["string","array"],"items":{"type":"object"}})",
     "A text, or messages: the user's last one is what is decided about.", Use::kRead, true},
    {"questions", R"({"type":"array","items":{"type":"object"},"minItems":1,"maxItems":400})",
     "Each a predicate, a choice or a score.", Use::kRead, true},
    {"prompt_cache_key", kString, "Not used.", Use::kHint},
    {"prompt_cache_options", kObject, "Not used.", Use::kHint},
    {"safety_identifier", kString, "Not used.", Use::kHint},
};

constexpr Field kType = {"type", kString, "predicate, choice or score.", Use::kRead, true};
constexpr Field kInstructions = {"instructions", R"({"type":["string","array"]})", "What is asked.",
                                 Use::kRead, true};
constexpr Field kName = {"name", kString, "Sent back with the answer."};

constexpr Field kPredicate[] = {kType, kInstructions, kName};
constexpr Field kChoice[] = {
    kType, kInstructions, kName, {"choices", R"({"type":"array"})", "What to choose from."}};
constexpr Field kChoiceOf[] = {{"value", R"({"type":["string","boolean"]})", "A label."},
                               {"description", kString, "Not used.", Use::kHint}};
constexpr Field kScoreLevels[] = {
    kType, kInstructions, kName, {"levels", R"({"type":"array"})", "From the lowest up."}};
constexpr Field kLevel[] = {{"label", kString, "A label."},
                            {"description", kString, "Not used.", Use::kHint}};

constexpr Field kRerank[] = {
    kModel,
    {"query", kString, "What is looked for.", Use::kRead, true},
    {"documents", R"({"type":"array","items":{"type":["string","object"]},"minItems":1})",
     "Texts, or objects with a text.", Use::kRead, true},
    {"top_n", R"({"type":"integer","minimum":1})", "How many of them; all by default."},
    {"return_documents", kFlag, "Sends their texts back."},
    kUser,
};

constexpr Field kScore[] = {
    kModel,
    {"text_1", kStrings, "A text, or texts.", Use::kRead, true},
    {"text_2", kStrings, "As many texts as text_1 has, or any number where that is one.",
     Use::kRead, true},
    kUser,
};

constexpr Field kModerations[] = {
    kModel,
    {"input", R"({"type":["string","array"]})", "A text, texts, or parts of type text.", Use::kRead,
     true},
    kUser,
};

constexpr Field kGuard[] = {
    {"input", kString, "A text: a user's, or in the stage output an answer."},
    {"messages", R"({"type":"array","items":{"type":"object"}})",
     "Or a conversation; in the stage output its last message is the answer."},
    {"stage", R"({"enum":["pre_flight","input","output"]})", "Which checks; input by default."},
    kUser,
};

constexpr Field kTokenize[] = {
    kModel,
    {"prompt", kString, "A text."},
    {"messages", R"({"type":"array","items":{"type":"object"}})",
     "Or a conversation: as a chat completion would see it."},
    {"tools", R"({"type":"array","items":{"type":"object"}})", "Of a conversation."},
    {"chat_template_kwargs", kObject, "Of a conversation."},
    {"add_generation_prompt", kFlag, "Of a conversation: whether the answer's beginning follows."},
    {"add_special_tokens", kFlag, "Of a text: those around it; true by default."},
    {"return_token_strs", kFlag, "Adds token_strs."},
};

constexpr Field kDetokenize[] = {kModel, {"tokens", kIds, "Token ids.", Use::kRead, true}};

template <std::size_t N, std::size_t M>
constexpr std::array<Field, N + M> joined(const Field (&a)[N], const Field (&b)[M]) {
  std::array<Field, N + M> all{};
  std::ranges::copy(b, std::ranges::copy(a, all.begin()).out);
  return all;
}
constexpr auto kWholeChat = joined(kChat, kGeneration);
constexpr auto kWholeCompletion = joined(kCompletion, kGeneration);

}  // namespace

constinit const std::span<const Field> chat = kWholeChat;
constinit const std::span<const Field> stream_options = kStreamOptions;
constinit const std::span<const Field> completion = kWholeCompletion;
constinit const std::span<const Field> embeddings = kEmbeddings;
constinit const std::span<const Field> classify = kClassify;
constinit const std::span<const Field> tag = kTag;
constinit const std::span<const Field> extract = kExtract;
constinit const std::span<const Field> question = kQuestion;
constinit const std::span<const Field> decisions = kDecisions;
constinit const std::span<const Field> predicate = kPredicate;
constinit const std::span<const Field> choice = kChoice;
constinit const std::span<const Field> choice_of = kChoiceOf;
constinit const std::span<const Field> score_levels = kScoreLevels;
constinit const std::span<const Field> level = kLevel;
constinit const std::span<const Field> rerank = kRerank;
constinit const std::span<const Field> score = kScore;
constinit const std::span<const Field> moderations = kModerations;
constinit const std::span<const Field> guard = kGuard;
constinit const std::span<const Field> tokenize = kTokenize;
constinit const std::span<const Field> detokenize = kDetokenize;

}  // namespace tack::server::fields
