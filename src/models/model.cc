#include "models/model.h"

#include <algorithm>
#include <system_error>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/mapped_file.h"
#include "base/paths.h"
#include "models/architecture.h"
#include "models/chat_template.h"
#include "models/decoder.h"
#include "models/smoothing.h"
#include "models/tokenizer_loading.h"
#include "tensor/convert.h"

namespace tack {

// Fills a Model from either kind of source; the pieces common to both are here.
struct ModelBuilder {
  std::shared_ptr<Model> model = std::make_shared<Model>();
  Status no_tokenizer;  // why a decoder has none

  Status from_gguf(const std::filesystem::path& path) {
    TACK_TRY(auto file, GgufFile::open(path));
    TACK_TRY(const std::string kind, file.string_or("general.type", "model"));
    if (kind == "adapter") return from_adapter(file, path);
    model->gguf_.emplace(std::move(file));
    const GgufFile& gguf = *model->gguf_;
    TACK_TRY(model->architecture_, gguf.string("general.architecture"));
    TACK_TRY(const auto* architecture, find_architecture(model->architecture_));
    TACK_TRY(auto built, architecture->from_gguf(gguf));
    TACK_RETURN_IF_ERROR(adopt(std::move(built)));
    if (!model->generates_ || gguf.find("tokenizer.ggml.model") != nullptr)
      TACK_RETURN_IF_ERROR(take_tokenizer(tokenizer_config_from_gguf(gguf)));
    if (model->generates_) model->chat_template_ = chat_template_of(gguf);
    for (const graph::Weight& weight : model->graph_.weights()) {
      const GgufTensor* tensor = gguf.find_tensor(weight.name);
      TACK_RETURN_IF_ERROR(bind(weight, tensor ? &tensor->view : nullptr, weight.name));
      TACK_RETURN_IF_ERROR(read_smoothing(gguf, weight));
    }
    return read_tack_metadata(gguf);
  }

  // The base with the adapter's products added to its weights, and the adapter's head.
  Status from_adapter(const GgufFile& file, const std::filesystem::path& path) {
    TACK_RETURN_IF_ERROR(read_tack_metadata(file));
    TACK_TRY(const auto base, open_base(path));
    TACK_TRY(const std::string architecture, file.string("general.architecture"));
    if (architecture != base->architecture_)
      return fail("the adapter is for '{}', its base {} is '{}'", architecture,
                  base->path().string(), base->architecture_);
    model->base_ = base;
    model->architecture_ = base->architecture_;
    model->context_length_ = base->context_length_;
    model->embedding_dim_ = base->embedding_dim_;
    model->vocab_size_ = base->vocab_size_;
    TACK_TRY(model->tokenizer_, tokenizer_of(*base));
    model->graph_ = base->graph_;
    model->tensors_ = base->tensors_;
    model->smoothing_ = base->smoothing_;
    TACK_TRY(const double alpha, file.number("adapter.lora.alpha"));
    for (const graph::Weight& weight : base->graph_.weights()) {
      const GgufTensor* a = file.find_tensor(weight.name + ".lora_a");
      const GgufTensor* b = file.find_tensor(weight.name + ".lora_b");
      if (a != nullptr && b != nullptr)
        TACK_RETURN_IF_ERROR(merge(weight, a->view, b->view, alpha));
    }
    if (merged_pairs_ * 2 != file.tensors().size())
      return fail("the adapter has {} tensors, of which {} belong to weights of {}",
                  file.tensors().size(), 2 * merged_pairs_, base->path().string());
    return add_head(file);
  }

  Result<std::shared_ptr<const Model>> open_base(const std::filesystem::path& path) {
    const Json* about = model->tack_metadata("adapter");
    if (about == nullptr || !about->contains("base") || !(*about)["base"].is_string())
      return fail("the adapter does not say what its base is (tack.adapter)");
    const auto name = (*about)["base"].get<std::string>();
    std::error_code ignored;
    std::filesystem::path found = path.parent_path() / (name + ".gguf");
    if (!std::filesystem::exists(found, ignored)) {
      auto resolved = resolve_model(name);
      if (!resolved)
        return fail(ErrorCode::kNotFound, "the adapter's base {}: put it beside the adapter ({})",
                    name, resolved.error().message);
      found = *resolved;
    }
    TACK_TRY(const auto bytes, MappedFile::open(found));
    if (about->value("sha256", "") != sha256_hex(bytes.text()))
      return fail("the adapter was made for another {} than {}", name, found.string());
    TACK_TRY(auto base, Model::open(found));
    if (base->base_ != nullptr || !base->labels_.empty() || base->gguf() == nullptr)
      return fail("the adapter's base {} is not a plain encoder", found.string());
    return base;
  }

  static Result<std::unique_ptr<Tokenizer>> tokenizer_of(const Model& base) {
    TACK_TRY(auto config, wordpiece_from_gguf(*base.gguf()));
    return make_wordpiece(std::move(config));
  }

  // W + alpha / rank * B A, stored in the type of W.
  Status merge(const graph::Weight& weight, const TensorView& a, const TensorView& b,
               double alpha) {
    const TensorView& base = model->tensors_.find(weight.name)->second;
    const std::int64_t rows = base.rows(), cols = base.cols(), rank = a.rows();
    if (a.dtype != DType::kF32 || b.dtype != DType::kF32 || weight.shape.size() != 2 || rank < 1 ||
        a.shape != Shape{rank, cols} || b.shape != Shape{rows, rank})
      return fail("the adapter's '{}' is {} and {}, which does not fit {} {}", weight.name,
                  to_string(a.shape), to_string(b.shape), weight.name, to_string(weight.shape));
    std::vector<float> left(static_cast<std::size_t>(rows * rank)),
        right(static_cast<std::size_t>(rank * cols)), row(static_cast<std::size_t>(cols));
    TACK_RETURN_IF_ERROR(to_f32(a.dtype, a.bytes, right));
    TACK_RETURN_IF_ERROR(to_f32(b.dtype, b.bytes, left));
    const auto factor = static_cast<float>(alpha / static_cast<double>(rank));
    std::vector<std::byte> merged(base.bytes.size());
    const std::size_t row_bytes = merged.size() / static_cast<std::size_t>(rows);
    for (std::int64_t r = 0; r < rows; ++r) {
      TACK_RETURN_IF_ERROR(to_f32(base.dtype, base.row(r), row));
      for (std::int64_t k = 0; k < rank; ++k) {
        const float by = factor * left[static_cast<std::size_t>(r * rank + k)];
        const float* const from = right.data() + k * cols;
        for (std::size_t c = 0; c < row.size(); ++c) row[c] += by * from[c];
      }
      TACK_RETURN_IF_ERROR(
          from_f32(base.dtype, row,
                   std::span(merged).subspan(static_cast<std::size_t>(r) * row_bytes, row_bytes)));
    }
    TensorView view = base;
    view.bytes = own(std::move(merged));
    model->tensors_.insert_or_assign(weight.name, view);
    ++merged_pairs_;
    return {};
  }

  std::span<const std::byte> own(std::vector<std::byte> bytes) {
    model->owned_.push_back(std::move(bytes));
    return model->owned_.back();
  }

  Status add_head(const GgufFile& file) {
    TACK_TRY(const auto labels, file.strings(model->architecture_ + ".classifier.output_labels"));
    model->labels_.assign(labels.begin(), labels.end());
    const auto classes = static_cast<std::int64_t>(labels.size());
    graph::Graph& g = model->graph_;
    const graph::Output* embedding = g.find_output("embedding");
    if (embedding == nullptr || classes == 0) return fail("the adapter has no labels");
    const auto add = [&](const char* key, const char* name,
                         Shape shape) -> Result<graph::WeightId> {
      const GgufValue* value = file.find(key);
      const auto* numbers =
          value == nullptr ? nullptr : std::get_if<std::vector<double>>(&value->value);
      if (numbers == nullptr || static_cast<std::int64_t>(numbers->size()) != element_count(shape))
        return fail("key '{}' is not an array of {} numbers", key, element_count(shape));
      const std::vector<float> values(numbers->begin(), numbers->end());
      const auto bytes = std::as_bytes(std::span(values));
      TensorView view;
      view.dtype = DType::kF32;
      view.shape = shape;
      view.bytes = own({bytes.begin(), bytes.end()});
      model->tensors_.insert_or_assign(name, view);
      return g.weight(name, std::move(shape));
    };
    TACK_TRY(const auto weight,
             add("tack.head_weight", "cls.output.weight", {classes, model->embedding_dim_}));
    TACK_TRY(const auto bias, add("tack.head_bias", "cls.output.bias", {classes}));
    g.output("logits", g.linear(embedding->value, weight, bias));
    return {};
  }

  Status from_hf(const std::filesystem::path& path) {
    TACK_TRY(auto directory, HuggingFaceDirectory::open(path));
    model->hf_.emplace(std::move(directory));
    const HuggingFaceDirectory& hf = *model->hf_;
    // Of a multimodal checkpoint, the text part.
    const Json& config = text_config(hf);
    const auto type = config.find("model_type");
    if (type == config.end() || !type->is_string())
      return fail("config.json: 'model_type' is missing");
    TACK_TRY(const auto* architecture, find_hf_architecture(type->get<std::string>()));
    model->architecture_ = architecture->name;
    TACK_TRY(auto built, architecture->from_hf(hf));
    TACK_RETURN_IF_ERROR(adopt(std::move(built)));
    if (!model->generates_)
      TACK_RETURN_IF_ERROR(take_tokenizer(wordpiece_from_hf(hf)));
    else if (auto tokenizer = tokenizer_config_from_files(path);
             tokenizer || tokenizer.error().code != ErrorCode::kNotFound)
      TACK_RETURN_IF_ERROR(take_tokenizer(std::move(tokenizer)));
    TACK_TRY(std::string chat_template, chat_template_of(hf));
    if (model->generates_) model->chat_template_ = std::move(chat_template);
    for (const graph::Weight& weight : model->graph_.weights()) {
      const TensorView* tensor = nullptr;
      const auto names = architecture->hf_names(weight.name);
      for (const std::string& name : names)
        if (tensor == nullptr) tensor = hf.find_tensor(name);
      TACK_RETURN_IF_ERROR(bind(weight, tensor, names.front()));
      if (architecture->hf_change != nullptr)
        TACK_RETURN_IF_ERROR(change(architecture->hf_change(weight.name), weight));
    }
    return {};
  }

  // Makes a Hugging Face tensor the one that GGUF stores.
  Status change(HfChange change, const graph::Weight& weight) {
    if (change == HfChange::kNone) return {};
    TensorView view = model->tensors_.find(weight.name)->second;
    if (change == HfChange::kAddOne) {
      std::vector<float> values(static_cast<std::size_t>(element_count(view.shape)));
      TACK_RETURN_IF_ERROR(to_f32(view.dtype, view.bytes, values));
      for (float& value : values) value += 1.0F;
      const auto bytes = std::as_bytes(std::span(values));
      view.dtype = DType::kF32;
      view.bytes = own({bytes.begin(), bytes.end()});
    } else {
      const std::int64_t half = head_dim() / 2;
      std::vector<std::byte> bytes;
      bytes.reserve(view.bytes.size());
      for (std::int64_t head = 0; head < view.rows(); head += 2 * half)
        for (std::int64_t i = 0; i < 2 * half; ++i) {
          const auto row = view.row(head + i / 2 + (i % 2) * half);
          bytes.insert(bytes.end(), row.begin(), row.end());
        }
      view.bytes = own(std::move(bytes));
    }
    model->tensors_.insert_or_assign(weight.name, view);
    return {};
  }

  std::int64_t head_dim() const {
    for (const graph::Node& node : model->graph_.nodes())
      if (const auto* attention = std::get_if<graph::Attention>(&node.op))
        return attention->head_dim;
    return 0;
  }

 private:
  Status read_tack_metadata(const GgufFile& gguf) {
    for (const auto& [key, value] : gguf.metadata()) {
      const auto* text = std::get_if<std::string>(&value.value);
      if (!key.starts_with("tack.") || text == nullptr || !text->starts_with('{')) continue;
      TACK_TRY(auto json, parse_json(*text, key));
      model->tack_.emplace(key.substr(5), std::move(json));
    }
    return {};
  }

  std::size_t merged_pairs_ = 0;

  Status adopt(BuiltModel built) {
    model->vocab_size_ = built.vocab_size;
    model->graph_ = std::move(built.graph);
    model->context_length_ = built.max_tokens;
    model->embedding_dim_ = built.embedding_dim;
    model->labels_ = std::move(built.labels);
    model->tags_ = std::move(built.tags);
    model->generates_ = built.generates;
    model->constants_ = std::move(built.constants);
    return {};
  }

  // A decoder's weights may stand alone, in tests and benchmarks, and its tokenizer may be of a
  // kind that is not known: that is an error only to who reads text (Model::open).
  Status take_tokenizer(Result<TokenizerConfig> config) {
    Status status;
    if (!config) {
      status = std::unexpected(std::move(config).error());
    } else if (auto made = make_tokenizer(*std::move(config)); made) {
      status = adopt(*std::move(made));
    } else {
      status = std::unexpected(std::move(made).error());
    }
    if (status || !model->generates_) return status;
    no_tokenizer = status;
    return {};
  }

  Status adopt(std::unique_ptr<Tokenizer> tokenizer) {
    if (tokenizer->vocab_size() > model->vocab_size_)
      return fail("the tokenizer has {} pieces, the model {} embedding rows",
                  tokenizer->vocab_size(), model->vocab_size_);
    model->tokenizer_ = std::move(tokenizer);
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

Result<std::shared_ptr<const Model>> Model::open(const std::filesystem::path& path, Use use) {
  ModelBuilder builder;
  builder.model->path_ = path;
  std::error_code error;
  const bool directory = std::filesystem::is_directory(path, error);
  builder.model->name_ = directory
                             ? std::filesystem::weakly_canonical(path, error).filename().string()
                             : path.stem().string();
  Status status = directory ? builder.from_hf(path) : builder.from_gguf(path);
  if (status && use == Use::kText && builder.model->tokenizer_ == nullptr) {
    status = builder.no_tokenizer;
    if (status)
      status = fail(ErrorCode::kUsage, "a decoder ({}) without a tokenizer; show and bench take it",
                    builder.model->architecture_);
  }
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

std::vector<std::filesystem::path> models_here() {
  namespace fs = std::filesystem;
  std::map<std::string, fs::path> by_name;
  for (const fs::path& directory : model_directories()) {
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(directory, error))
      if (entry.path().extension() == ".gguf" && entry.is_regular_file(error))
        by_name.emplace(entry.path().filename(), entry.path());
  }
  std::vector<fs::path> paths;
  for (auto& [name, path] : by_name) paths.push_back(std::move(path));
  return paths;
}

}  // namespace tack
