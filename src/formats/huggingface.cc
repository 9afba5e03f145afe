#include "formats/huggingface.h"

#include <set>

#include "base/atomic_file.h"

namespace tack {
namespace {

namespace fs = std::filesystem;

Result<Json> read_json(const fs::path& path) {
  TACK_TRY(const std::string text, read_file(path, std::size_t{1} << 30));
  return parse_json(text, path.string());
}

// Empty when there is no such file.
Result<std::optional<Json>> read_optional(const fs::path& path) {
  if (!fs::exists(path)) return std::optional<Json>();
  TACK_TRY(Json json, read_json(path));
  return std::optional<Json>(std::move(json));
}

std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.emplace_back(line);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

// The shards an index names, each once. A name that leaves the directory is refused.
Result<std::vector<fs::path>> weight_files(const fs::path& directory) {
  if (fs::exists(directory / "model.safetensors"))
    return std::vector<fs::path>{directory / "model.safetensors"};
  const fs::path index = directory / "model.safetensors.index.json";
  if (!fs::exists(index))
    return fail(ErrorCode::kNotFound,
                "{}: no model.safetensors (other formats are not read: save the model with "
                "safe_serialization=True)",
                directory.string());
  TACK_TRY(const Json json, read_json(index));
  const auto map = json.find("weight_map");
  if (map == json.end() || !map->is_object())
    return fail("{}: 'weight_map' is missing", index.string());
  std::set<std::string> names;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string() || file.get<std::string>().find('/') != std::string::npos)
      return fail("{}: the file of tensor '{}' is not a file name", index.string(), tensor);
    names.insert(file.get<std::string>());
  }
  std::vector<fs::path> paths;
  for (const std::string& name : names) paths.push_back(directory / name);
  return paths;
}

}  // namespace

Result<HuggingFaceDirectory> HuggingFaceDirectory::open(const fs::path& path) {
  HuggingFaceDirectory out;
  out.path = path;
  if (!fs::exists(path / "config.json"))
    return fail(ErrorCode::kNotFound, "{}: no config.json: not a Hugging Face model directory",
                path.string());
  TACK_TRY(out.config, read_json(path / "config.json"));
  if (!out.config.is_object())
    return fail("{}: not a JSON object", (path / "config.json").string());
  TACK_TRY(out.tokenizer_config, read_optional(path / "tokenizer_config.json"));
  TACK_TRY(out.pooling, read_optional(path / "1_Pooling" / "config.json"));
  TACK_TRY(out.sentence_config, read_optional(path / "sentence_bert_config.json"));
  TACK_TRY(const auto modules, read_optional(path / "modules.json"));
  if (modules && modules->is_array())
    for (const Json& module : *modules)
      if (module.is_object() && module.contains("type") && module["type"].is_string() &&
          module["type"].get<std::string>().ends_with(".Normalize"))
        out.normalizes = true;
  if (fs::exists(path / "vocab.txt")) {
    TACK_TRY(const std::string text, read_file(path / "vocab.txt", std::size_t{1} << 28));
    out.vocab_txt = split_lines(text);
  }
  TACK_TRY(const auto files, weight_files(path));
  for (const fs::path& file : files) {
    TACK_TRY(auto weights, SafetensorsFile::open(file));
    out.weights.push_back(std::move(weights));
  }
  return out;
}

const TensorView* HuggingFaceDirectory::find_tensor(std::string_view name) const {
  for (const SafetensorsFile& file : weights)
    if (const TensorView* view = file.find(name)) return view;
  return nullptr;
}

}  // namespace tack
