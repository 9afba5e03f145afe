#include "tasks/new_decoder.h"

#include <cmath>
#include <cstring>

#include "base/hash.h"
#include "base/random.h"
#include "eval/documents.h"
#include "models/byte_bpe_loading.h"
#include "models/chat_template.h"
#include "models/decoder.h"
#include "models/model.h"
#include "text/bpe_trainer.h"

namespace tack {
namespace {

constexpr double kDeviation = 0.02;
constexpr TokenId kEnd = 0;  // <|endoftext|>

// What was learned, behind the token that begins and ends a text.
ByteBpeConfig tokenizer_of(const LearnedBpe& learned) {
  ByteBpeConfig config;
  config.tokens.push_back({std::string(kEndOfText), TokenKind::kControl});
  for (const std::string& token : learned.tokens)
    config.tokens.push_back({token, TokenKind::kText});
  for (const auto& [left, right] : learned.merges) config.merges.push_back({left + 1, right + 1});
  config.special.bos = config.special.eos = kEnd;
  config.special.add_bos = true;
  return config;
}

Result<NewDecoder> set_tokenizer(const GenerateSettings& settings, const Dataset& text,
                                 GgufWriter& writer) {
  if (settings.tokenizer.empty()) {
    WordCounts words(PreTokenizer::kGpt2);
    for (const std::string& document : text.texts) words.add(document);
    const LearnedBpe learned = learn_bpe(words, {.vocab = settings.vocab - 1});
    for (const auto& [key, value] : byte_bpe_gguf_keys(tokenizer_of(learned)))
      writer.set(key, value);
    return NewDecoder{static_cast<std::int64_t>(learned.tokens.size()) + 1,
                      static_cast<std::int64_t>(learned.merges.size())};
  }
  TACK_TRY(const auto path, resolve_model(settings.tokenizer));
  TACK_TRY(const auto model, Model::open(path));
  if (!model->generates() || model->gguf() == nullptr)
    return fail(ErrorCode::kUsage, "{}: the tokenizer must be that of a decoder in a GGUF file",
                path.string());
  for (const auto& [key, value] : model->gguf()->metadata())
    if ((key.starts_with("tokenizer.") || key == "tack.tokenizer") && key != kChatTemplateKey)
      writer.set(key, value);
  return NewDecoder{model->tokenizer().vocab_size(), 0};
}

std::vector<std::byte> first_values(const graph::Weight& weight, std::int64_t layers,
                                    std::uint64_t seed) {
  std::vector<float> values(static_cast<std::size_t>(element_count(weight.shape)), 1.0F);
  if (weight.shape.size() == 2) {
    const bool adds =
        weight.name.ends_with(".attn_output.weight") || weight.name.ends_with(".ffn_down.weight");
    const double deviation =
        adds ? kDeviation / std::sqrt(2 * static_cast<double>(layers)) : kDeviation;
    // By name: the order of the weights does not matter.
    Random random(seed * 0x9e3779b97f4a7c15ULL + content_hash(weight.name));
    for (float& value : values) value = static_cast<float>(deviation * random.normal());
  }
  std::vector<std::byte> bytes(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

}  // namespace

Result<NewDecoder> write_new_decoder(const GenerateSettings& settings, const Dataset& text,
                                     std::uint64_t seed, const std::filesystem::path& path) {
  GgufWriter writer;
  writer.set("general.architecture", GgufValue::string(settings.architecture));
  writer.set("general.type", GgufValue::string("model"));
  writer.set("general.name", GgufValue::string("scratch"));
  writer.set("general.file_type", GgufValue::u32(0));
  TACK_TRY(const NewDecoder made, set_tokenizer(settings, text, writer));
  DecoderConfig sizes;
  sizes.layers = settings.layers;
  sizes.d_model = settings.d;
  sizes.heads = settings.heads;
  sizes.kv_heads = settings.kv_heads;
  sizes.head_dim = settings.d / settings.heads;
  sizes.d_ff = settings.ff;
  sizes.vocab = made.vocab;
  sizes.positions = settings.context;
  sizes.tied_head = settings.tied;
  sizes.rope.base = settings.rope_base;
  TACK_TRY(const BuiltModel built, new_llama(sizes, "[model]"));
  for (const auto& [key, value] : built.gguf_keys) writer.set(key, value);
  for (const graph::Weight& weight : built.graph.weights())
    writer.add_tensor(weight.name, DType::kF32, weight.shape,
                      first_values(weight, settings.layers, seed));
  TACK_RETURN_IF_ERROR(writer.write(path));
  return made;
}

}  // namespace tack
