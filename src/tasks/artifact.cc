#include "tasks/artifact.h"

#include <cstring>

namespace tack {
namespace {

std::vector<std::byte> bytes_of(const std::vector<float>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

}  // namespace

Status write_task_model(const Model& base, const TaskArtifact& artifact,
                        const std::filesystem::path& path) {
  const GgufFile* gguf = base.gguf();
  if (gguf == nullptr)
    return fail(ErrorCode::kUsage, "{}: convert the base model to GGUF first (tack convert)",
                base.path().string());
  GgufWriter writer;
  for (const auto& [key, value] : gguf->metadata()) writer.set(key, value);
  writer.set("general.name", GgufValue::string(artifact.name));
  if (!artifact.licence.empty()) writer.set("general.license", GgufValue::string(artifact.licence));
  writer.set("bert.classifier.output_labels", GgufValue::strings(artifact.labels));
  writer.set("tack.head_input", GgufValue::string("embedding"));
  writer.set("tack.task", GgufValue::string(to_text(artifact.task)));
  writer.set("tack.calibration", GgufValue::string(to_text(artifact.calibration)));
  writer.set("tack.metrics", GgufValue::string(to_text(artifact.metrics)));
  writer.set("tack.lineage", GgufValue::string(to_text(artifact.lineage)));
  for (const GgufTensor& tensor : gguf->tensors())
    if (!tensor.name.starts_with("cls.output.")) writer.add_tensor_view(tensor.name, tensor.view);
  const LinearHead& head = *artifact.head;
  writer.add_tensor("cls.output.weight", DType::kF32, {head.classes, head.dims},
                    bytes_of(head.weight));
  writer.add_tensor("cls.output.bias", DType::kF32, {head.classes}, bytes_of(head.bias));
  return writer.write(path);
}

}  // namespace tack
