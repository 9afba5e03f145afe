#include "models/model.h"

#include <algorithm>
#include <system_error>

#include <fmt/format.h>

#include "base/paths.h"
#include "models/architecture.h"
#include "models/smoothing.h"
#include "models/tokenizer_loading.h"
#include "tensor/convert.h"

namespace tack {

// Fills a Model from either kind of source; the pieces common to both are here.
struct ModelBuilder {
  std::shared_ptr<Model> model = std::make_shared<Model>();

  Status from_gguf(const std::filesystem::path& path) {
    TACK_TRY(auto file, GgufFile::open(path));
    model->gguf_.emplace(std::move(file));
    const GgufFile& gguf = *model->gguf_;
    TACK_TRY(model->architecture_, gguf.string("general.architecture"));
    TACK_TRY(const auto* architecture, find_architecture(model->architecture_));
    TACK_TRY(auto built, architecture->from_gguf(gguf));
    TACK_TRY(auto tokenizer, wordpiece_from_gguf(gguf));
    TACK_RETURN_IF_ERROR(adopt(std::move(built), std::move(tokenizer)));
    for (const graph::Weight& weight : model->graph_.weights()) {
      const GgufTensor* tensor = gguf.find_tensor(weight.name);
      TACK_RETURN_IF_ERROR(bind(weight, tensor ? &tensor->view : nullptr, weight.name));
      TACK_RETURN_IF_ERROR(read_smoothing(gguf, weight));
    }
    for (const auto& [key, value] : gguf.metadata()) {
      const auto* text = std::get_if<std::string>(&value.value);
      if (!key.starts_with("tack.") || text == nullptr || !text->starts_with('{')) continue;
      TACK_TRY(auto json, parse_json(*text, key));
      model->tack_.emplace(key.substr(5), std::move(json));
    }
    return {};
  }

  Status from_hf(const std::filesystem::path& path) {
    TACK_TRY(auto directory, HuggingFaceDirectory::open(path));
    model->hf_.emplace(std::move(directory));
    const HuggingFaceDirectory& hf = *model->hf_;
    const auto type = hf.config.find("model_type");
    if (type == hf.config.end() || !type->is_string())
      return fail("config.json: 'model_type' is missing");
    TACK_TRY(const auto* architecture, find_hf_architecture(type->get<std::string>()));
    model->architecture_ = architecture->name;
    TACK_TRY(auto built, architecture->from_hf(hf));
    TACK_TRY(auto tokenizer, wordpiece_from_hf(hf));
    TACK_RETURN_IF_ERROR(adopt(std::move(built), std::move(tokenizer)));
    for (const graph::Weight& weight : model->graph_.weights()) {
      const TensorView* tensor = nullptr;
      const auto names = architecture->hf_names(weight.name);
      for (const std::string& name : names)
        if (tensor == nullptr) tensor = hf.find_tensor(name);
      TACK_RETURN_IF_ERROR(bind(weight, tensor, names.front()));
    }
    return {};
  }

 private:
  Status adopt(BuiltModel built, WordPieceConfig tokenizer) {
    if (static_cast<std::int64_t>(tokenizer.vocab.size()) > built.vocab_size)
      return fail("the tokenizer has {} pieces, the model {} embedding rows",
                  tokenizer.vocab.size(), built.vocab_size);
    model->graph_ = std::move(built.graph);
    model->context_length_ = built.max_tokens;
    model->embedding_dim_ = built.embedding_dim;
    model->labels_ = std::move(built.labels);
    TACK_TRY(model->tokenizer_, make_wordpiece(std::move(tokenizer)));
    return {};
  }

  Status read_smoothing(const GgufFile& gguf, const graph::Weight& weight) {
    const std::string key = std::string(kSmoothKey) + weight.name;
    const GgufValue* found = gguf.find(key);
    if (found == nullptr) return {};
    const auto* exponents = std::get_if<std::vector<std::int64_t>>(&found->value);
    if (exponents == nullptr || static_cast<std::int64_t>(exponents->size()) != weight.shape.back())
      return fail("key '{}' is not an array of {} integers", key, weight.shape.back());
    TACK_TRY(model->smoothing_[weight.name], smoothing_factors(*exponents));
    return {};
  }

  Status bind(const graph::Weight& weight, const TensorView* tensor, const std::string& name) {
    if (tensor == nullptr)
      return fail("tensor '{}' is missing: the file is incomplete or of another model", name);
    if (tensor->shape != weight.shape)
      return fail("tensor '{}' has shape {}, the configuration says {}", name,
                  to_string(tensor->shape), to_string(weight.shape));
    if (!convertible(tensor->dtype))
      return fail("tensor '{}' has type {}, which cannot be computed yet", name,
                  info(tensor->dtype).name);
    model->tensors_.emplace(weight.name, *tensor);
    return {};
  }
};

Result<std::shared_ptr<const Model>> Model::open(const std::filesystem::path& path) {
  ModelBuilder builder;
  builder.model->path_ = path;
  std::error_code error;
  const bool directory = std::filesystem::is_directory(path, error);
  builder.model->name_ = directory
                             ? std::filesystem::weakly_canonical(path, error).filename().string()
                             : path.stem().string();
  const Status status = directory ? builder.from_hf(path) : builder.from_gguf(path);
  if (!status) {
    Error problem = status.error();
    if (!problem.message.contains(path.string())) problem = std::move(problem).in(path.string());
    return std::unexpected(std::move(problem));
  }
  return std::shared_ptr<const Model>(std::move(builder.model));
}

const TensorView& Model::tensor(const graph::Weight& weight) const {
  return tensors_.find(weight.name)->second;
}

std::span<const float> Model::smoothing(const graph::Weight& weight) const {
  const auto it = smoothing_.find(weight.name);
  return it == smoothing_.end() ? std::span<const float>{} : std::span<const float>(it->second);
}

std::int64_t Model::parameter_count() const {
  std::int64_t count = 0;
  for (const auto& [name, view] : tensors_) count += element_count(view.shape);
  return count;
}

std::size_t Model::file_bytes() const {
  if (gguf_) return gguf_->file_bytes();
  std::size_t bytes = 0;
  for (const auto& [name, view] : tensors_) bytes += view.bytes.size();
  return bytes;
}

const Json* Model::tack_metadata(std::string_view key) const {
  const auto it = tack_.find(key);
  return it == tack_.end() ? nullptr : &it->second;
}

Result<std::filesystem::path> resolve_model(std::string_view name_or_path) {
  namespace fs = std::filesystem;
  const std::string name(name_or_path.empty() ? "all-minilm-l6-v2" : name_or_path);
  std::error_code error;
  if (fs::exists(name, error)) return fs::path(name);
  if (name.contains('/'))
    return fail(ErrorCode::kNotFound, "{}: no such model file or directory", name);
  std::string searched;
  for (const fs::path& directory : model_directories()) {
    for (const char* suffix : {"", ".gguf", ".int8.gguf"})
      if (fs::path path = directory / (name + suffix); fs::is_regular_file(path, error))
        return path;
    searched += fmt::format("{}{}", searched.empty() ? "" : ", ", directory.string());
  }
  return fail(ErrorCode::kNotFound, "no model '{}' here nor in {}; give a path to a .gguf file",
              name, searched);
}

}  // namespace tack
