#include "tasks/artifact.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace tack {
namespace {

std::vector<std::byte> bytes_of(const std::vector<float>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

Result<const GgufFile*> gguf_of(const Model& base) {
  if (base.gguf() == nullptr)
    return fail(ErrorCode::kUsage, "{}: convert the base model to GGUF first (tack convert)",
                base.path().string());
  return base.gguf();
}

}  // namespace

Status write_trained_encoder(const Model& base,
                             const std::map<std::string, std::vector<float>>& tensors,
                             const std::map<std::string, StoredTensor>& stored,
                             const std::filesystem::path& path) {
  TACK_TRY(const GgufFile* gguf, gguf_of(base));
  GgufWriter writer;
  // Smoothing factors and everything about a task belonged to the old weights.
  constexpr std::string_view kKeep[] = {"tack.max_tokens", "tack.normalize", "tack.lineage",
                                        "tack.tokenizer"};
  for (const auto& [key, value] : gguf->metadata())
    if ((!key.starts_with("tack.") || std::ranges::find(kKeep, key) != std::end(kKeep)) &&
        key != "bert.classifier.output_labels")
      writer.set(key, value);
  for (const GgufTensor& tensor : gguf->tensors()) {
    if (is_head(tensor.name)) continue;
    if (const auto found = stored.find(tensor.name); found != stored.end())
      writer.add_tensor(tensor.name, found->second.dtype, tensor.view.shape, found->second.bytes);
    else if (const auto trained = tensors.find(tensor.name); trained != tensors.end())
      writer.add_tensor(tensor.name, DType::kF32, tensor.view.shape, bytes_of(trained->second));
    else
      writer.add_tensor_view(tensor.name, tensor.view);
  }
  return writer.write(path);
}

Status write_encoder_lineage(const Model& encoder, const Json& lineage,
                             const std::filesystem::path& path) {
  TACK_TRY(const GgufFile* gguf, gguf_of(encoder));
  GgufWriter writer;
  for (const auto& [key, value] : gguf->metadata()) writer.set(key, value);
  writer.set("tack.lineage", GgufValue::string(to_text(lineage)));
  for (const GgufTensor& tensor : gguf->tensors()) writer.add_tensor_view(tensor.name, tensor.view);
  return writer.write(path);
}

Status write_task_encoder(const Model& encoder, const TaskArtifact& artifact,
                          const std::filesystem::path& path) {
  TACK_TRY(const GgufFile* gguf, gguf_of(encoder));
  GgufWriter writer;
  for (const auto& [key, value] : gguf->metadata()) writer.set(key, value);
  writer.set("general.name", GgufValue::string(artifact.name));
  writer.set("tack.task", GgufValue::string(to_text(artifact.task)));
  writer.set("tack.metrics", GgufValue::string(to_text(artifact.metrics)));
  writer.set("tack.lineage", GgufValue::string(to_text(artifact.lineage)));
  for (const GgufTensor& tensor : gguf->tensors()) writer.add_tensor_view(tensor.name, tensor.view);
  return writer.write(path);
}

Status write_task_model(const Model& base, const TaskArtifact& artifact,
                        const std::filesystem::path& path) {
  TACK_TRY(const GgufFile* gguf, gguf_of(base));
  GgufWriter writer;
  for (const auto& [key, value] : gguf->metadata())
    if (key != "tack.heads") writer.set(key, value);
  writer.set("general.name", GgufValue::string(artifact.name));
  if (!artifact.licence.empty()) writer.set("general.license", GgufValue::string(artifact.licence));
  if (artifact.head != nullptr) {
    writer.set("bert.classifier.output_labels", GgufValue::strings(artifact.labels));
    writer.set("tack.head_input", GgufValue::string("embedding"));
  }
  if (!artifact.heads.is_null())
    writer.set("tack.heads", GgufValue::string(to_text(artifact.heads)));
  if (artifact.tag_head != nullptr) writer.set("tack.tags", GgufValue::strings(artifact.tags));
  writer.set("tack.task", GgufValue::string(to_text(artifact.task)));
  writer.set("tack.calibration", GgufValue::string(to_text(artifact.calibration)));
  writer.set("tack.metrics", GgufValue::string(to_text(artifact.metrics)));
  writer.set("tack.lineage", GgufValue::string(to_text(artifact.lineage)));
  for (const GgufTensor& tensor : gguf->tensors())
    if (!is_head(tensor.name)) writer.add_tensor_view(tensor.name, tensor.view);
  const auto add = [&](std::string_view name, Shape shape, const std::vector<float>& values) {
    writer.add_tensor(std::string(name), DType::kF32, std::move(shape), bytes_of(values));
  };
  if (const LinearHead* head = artifact.head; head != nullptr) {
    add(kHeadWeight, {head->classes, head->dims}, head->weight);
    add(kHeadBias, {head->classes}, head->bias);
  }
  if (const TagHead* head = artifact.tag_head; head != nullptr) {
    const std::int64_t tags = head->emissions.classes;
    add(kTagWeight, {tags, head->emissions.dims}, head->emissions.weight);
    add(kTagBias, {tags}, head->emissions.bias);
    add(kTransitions, {tags, tags}, head->transitions);
    add(kStart, {tags}, head->start);
    add(kEnd, {tags}, head->end);
  }
  if (const LinearHead* head = artifact.span_head; head != nullptr) {
    add(kSpanWeight, {head->classes, head->dims}, head->weight);
    add(kSpanBias, {head->classes}, head->bias);
  }
  return writer.write(path);
}

}  // namespace tack
