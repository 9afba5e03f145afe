// A loaded model: its file, configuration, tokenizer, graph and weights, whatever the architecture.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "formats/gguf.h"
#include "formats/huggingface.h"
#include "graph/graph.h"
#include "tensor/tensor_view.h"
#include "text/tokenizer.h"

namespace tack {

class Model {
 public:
  // A decoder's tokenizer may be missing or of a kind that is not known: kWeights opens it anyway.
  enum class Use : std::uint8_t { kText, kWeights };
  // A .gguf file, an adapter (models/adapter.h) or a Hugging Face directory. Errors name what is
  // missing and the file.
  static Result<std::shared_ptr<const Model>> open(const std::filesystem::path& path,
                                                   Use use = Use::kText);

  const std::string& name() const { return name_; }  // file stem
  const std::filesystem::path& path() const { return path_; }
  const std::string& architecture() const { return architecture_; }  // "bert"
  std::int64_t context_length() const { return context_length_; }    // longest input, tokens
  std::int64_t embedding_dim() const { return embedding_dim_; }
  std::int64_t vocab_size() const { return vocab_size_; }     // rows of the embedding's table
  const Tokenizer& tokenizer() const { return *tokenizer_; }  // may be none of Use::kWeights
  // Of a decoder whose file has one; "" otherwise.
  const std::string& chat_template() const { return chat_template_; }
  const graph::Graph& graph() const { return graph_; }
  // The tensor of a graph weight; never null for a weight of graph() (checked at open, shapes too).
  const TensorView& tensor(const graph::Weight& weight) const;
  // Factors per input column for computing this weight in int8 (models/smoothing.h); empty: none.
  std::span<const float> smoothing(const graph::Weight& weight) const;
  std::int64_t parameter_count() const;
  std::size_t file_bytes() const;

  // The class names of a task model, else empty. Label i is row i of output "logits".
  const std::vector<std::string>& labels() const { return labels_; }
  // Whether it is a decoder: output "logits" [tokens, vocabulary] then says what comes next.
  bool generates() const { return generates_; }
  // Vectors that the file has beside the weights of graph(), taken in by it (rope_freqs.weight).
  const std::vector<std::pair<std::string, std::vector<float>>>& constants() const {
    return constants_;
  }
  // The names of a tagger's tags ("O", "B-city", ...), else empty. Tag i is column i of "tags".
  const std::vector<std::string>& tags() const { return tags_; }
  // A tack.* metadata object by its name after "tack." (tasks/artifact.h gives it meaning); null
  // when absent.
  const Json* tack_metadata(std::string_view key) const;
  // The GGUF that holds the whole model, when there is one; not for an adapter (for `show`, and to
  // copy everything into a task model).
  const GgufFile* gguf() const { return gguf_ ? &*gguf_ : nullptr; }

 private:
  friend struct ModelBuilder;
  std::string name_, architecture_, chat_template_;
  std::filesystem::path path_;
  std::int64_t context_length_ = 0, embedding_dim_ = 0, vocab_size_ = 0;
  std::optional<GgufFile> gguf_;
  std::optional<HuggingFaceDirectory> hf_;
  std::unique_ptr<Tokenizer> tokenizer_;
  graph::Graph graph_;
  std::map<std::string, TensorView, std::less<>> tensors_;            // by GGUF name
  std::map<std::string, std::vector<float>, std::less<>> smoothing_;  // by GGUF name
  std::shared_ptr<const Model> base_;  // of an adapter: views into it
  // Tensors of its own: of an adapter, or changed from those of a Hugging Face directory.
  std::vector<std::vector<std::byte>> owned_;
  std::vector<std::string> labels_, tags_;
  bool generates_ = false;
  std::vector<std::pair<std::string, std::vector<float>>> constants_;
  std::map<std::string, Json, std::less<>> tack_;
};

// Short names resolve in models/ beside the binary or the source tree, then in TACK_HOME; a path is
// taken as it is; "" means the default encoder. kNotFound lists the places that were searched.
Result<std::filesystem::path> resolve_model(std::string_view name_or_path);

// The files those names can mean: every .gguf of these directories, by name; of two with the same
// name the one that the name resolves to.
std::vector<std::filesystem::path> models_here();

// What became of one tensor. Rows that are no whole number of blocks get another type than wanted.
struct ConvertedTensor {
  std::string_view name;
  DType from, wanted, to = wanted;
};

// Converts a Hugging Face directory (or a GGUF) to our GGUF, tensor by tensor as it is written.
struct ConvertOptions {
  // Of matrices; vectors stay f32. f32, f16, bf16, int8 (of encoders), or a block type: q8_0, q4_0,
  // q4_1, q5_0, q5_1, q2_k to q6_k, iq4_nl, iq4_xs. docs/cli.md says which tensors differ.
  std::string type = "int8";
  std::string name, licence;  // general.name and general.license; empty: the source's
  std::function<void(std::int64_t done, std::int64_t total)> progress;  // tensors; may be empty
  std::function<void(const ConvertedTensor&)> tensor;                   // likewise
  int threads = 0;  // 0: all cores; the file is the same for any number
};
// Errors name the tensor and row. `to` may be `from`: it is replaced when the new file is complete.
Status convert_model(const std::filesystem::path& from, const std::filesystem::path& to,
                     const ConvertOptions& options);

}  // namespace tack
