#include "models/adapter.h"

#include <set>
#include <system_error>

#include "base/atomic_file.h"
#include "base/hash.h"
#include "base/mapped_file.h"
#include "formats/safetensors.h"
#include "models/architecture.h"

namespace tack {
namespace {

TensorView view_of(const std::vector<float>& values, std::int64_t rows) {
  TensorView view;
  view.dtype = DType::kF32;
  view.shape = {rows, static_cast<std::int64_t>(values.size()) / rows};
  view.bytes = std::as_bytes(std::span(values));
  return view;
}

std::vector<double> doubles(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

}  // namespace

Status write_adapter(const Model& base, const Adapter& adapter, const std::filesystem::path& path) {
  TACK_TRY(const auto file, MappedFile::open(base.path()));
  GgufWriter writer;
  writer.set("general.architecture", GgufValue::string(base.architecture()));
  writer.set("general.type", GgufValue::string("adapter"));
  writer.set("general.name", GgufValue::string(path.stem().string()));
  writer.set("adapter.type", GgufValue::string("lora"));
  writer.set("adapter.lora.alpha", GgufValue::f32(static_cast<float>(adapter.rank)));
  const Json about = {{"base", base.name()}, {"sha256", sha256_hex(file.text())}};
  writer.set("tack.adapter", GgufValue::string(to_text(about)));
  writer.set(base.architecture() + ".classifier.output_labels", GgufValue::strings(adapter.labels));
  writer.set("tack.head_weight", GgufValue::f32s(doubles(adapter.head_weight)));
  writer.set("tack.head_bias", GgufValue::f32s(doubles(adapter.head_bias)));
  writer.set("tack.task", GgufValue::string(to_text(adapter.task)));
  writer.set("tack.calibration", GgufValue::string(to_text(adapter.calibration)));
  writer.set("tack.lineage", GgufValue::string(to_text(adapter.lineage)));
  if (!adapter.heads.is_null()) writer.set("tack.heads", GgufValue::string(to_text(adapter.heads)));
  for (const auto& [target, pair] : adapter.pairs) {
    writer.add_tensor_view(target + ".lora_a", view_of(pair.a, adapter.rank));
    writer.add_tensor_view(
        target + ".lora_b",
        view_of(pair.b, static_cast<std::int64_t>(pair.b.size()) / adapter.rank));
  }
  return writer.write(path);
}

Status write_peft_adapter(const Model& base, const Adapter& adapter,
                          const std::filesystem::path& directory) {
  TACK_TRY(const Architecture* architecture, find_architecture(base.architecture()));
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return fail("{}: cannot make the directory: {}", directory.string(), error.message());
  std::map<std::string, TensorView> tensors;
  std::set<std::string> modules;
  for (const auto& [target, pair] : adapter.pairs) {
    std::string name = architecture->hf_names(target).front();  // "encoder.layer.0....weight"
    name.resize(name.size() - std::string_view(".weight").size());
    modules.insert(name.substr(name.find_last_of("0123456789") + 2));
    const std::string prefix = "base_model.model." + name;
    tensors[prefix + ".lora_A.weight"] = view_of(pair.a, adapter.rank);
    tensors[prefix + ".lora_B.weight"] =
        view_of(pair.b, static_cast<std::int64_t>(pair.b.size()) / adapter.rank);
  }
  const Json config = {
      {"peft_type", "LORA"},
      {"task_type", "FEATURE_EXTRACTION"},
      {"base_model_name_or_path", base.name()},
      {"r", adapter.rank},
      {"lora_alpha", adapter.rank},
      {"lora_dropout", 0.0},
      {"bias", "none"},
      {"inference_mode", true},
      {"target_modules", std::vector<std::string>(modules.begin(), modules.end())}};
  TACK_RETURN_IF_ERROR(write_safetensors(directory / "adapter_model.safetensors", tensors));
  return write_file(directory / "adapter_config.json", to_text(config, 2) + "\n");
}

}  // namespace tack
