// A model made ready for training: its graph with a head on it, its weights in f32, and of the
// token table only the rows that the texts use.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compress/quantized_weights.h"
#include "models/adapter.h"
#include "models/model.h"
#include "tasks/artifact.h"
#include "tasks/heads.h"
#include "text/tokenizer.h"
#include "train/lora.h"
#include "train/parameters.h"
#include "train/trainer.h"

namespace tack {

// The texts of a curriculum, tokenised once; ids are rows of the compact token table.
class TrainingTexts {
 public:
  TrainingTexts(std::vector<Tokens> texts, std::int64_t vocab);
  std::size_t size() const { return texts_.size(); }
  ExampleTokens operator[](std::size_t i) const { return {texts_[i].ids, texts_[i].type_ids}; }
  std::int64_t longest() const;
  std::int64_t truncated() const;                             // texts that lost tokens
  const std::vector<TokenId>& used() const { return used_; }  // row -> token id

 private:
  std::vector<Tokens> texts_;
  std::vector<TokenId> used_;
};

enum class TrainMethod : std::uint8_t { kHead, kLora, kFull };

std::string_view train_method_name(TrainMethod method);

struct TrainableOptions {
  TrainMethod method = TrainMethod::kFull;
  float layer_decay = 1;   // factor of the rate per layer from the top
  float head_rate = 1;     // factor of the rate of the head
  std::int64_t rank = 16;  // of adapters
  std::uint64_t seed = 1;  // adapters start from it
  bool train_embeddings = true;
  // A type of ConvertOptions in which matrices are trained (compress/quantized_weights.h), and the
  // share of the steps before that begins; empty: f32.
  std::string quantize;
  double quantize_after = 0;
};

// A linear map from the hidden vectors of every layer to a teacher's width, one for all layers:
// trained with the rest, and left behind.
struct HiddenProjection {
  std::int64_t dims = 0;      // the teacher's
  std::vector<float> weight;  // [dims, the model's width]: where it starts
};

// Where the heads start from; null: no such head. With none of the first three, the embedding is
// trained.
struct Heads {
  const LinearHead* label = nullptr;
  const TagHead* tags = nullptr;
  const LinearHead* spans = nullptr;
  const HiddenProjection* projection = nullptr;
};

// The values of a weight in f32; of the token table only the rows `used`.
Result<std::vector<float>> load_weight(const Model& model, const graph::Weight& weight,
                                       std::span<const TokenId> used);

class TrainableModel {
 public:
  static Result<std::unique_ptr<TrainableModel>> create(std::shared_ptr<const Model> base,
                                                        const Heads& heads,
                                                        const TrainingTexts& texts,
                                                        const TrainableOptions& options,
                                                        ThreadPool& pool);

  const graph::Graph& graph() const { return graph_; }
  // For TrainerOptions; null unless quantized.
  Reparametrisation* weights() const { return quantized_.get(); }
  // "logits" of the head, or "embedding" without any head.
  graph::ValueId output() const { return output_; }
  graph::ValueId tags() const { return tags_; }    // emissions, of a tagger
  graph::ValueId spans() const { return spans_; }  // starts and ends, of an extractor
  // What a training reads: those of the three that there are.
  std::vector<graph::ValueId> outputs() const;
  // The hidden vectors of each layer in the teacher's width; empty without a projection.
  const std::vector<graph::ValueId>& projected() const { return projected_; }
  ParameterSet& parameters() { return *parameters_; }
  const ParameterSet& parameters() const { return *parameters_; }

  LinearHead head() const;
  TagHead tag_head() const;
  LinearHead span_head() const;
  // The trained tensors of the base by their names, whole (f32, the base's shapes); adapters are
  // merged: W + B A.
  Result<std::map<std::string, std::vector<float>>> tensors() const;

  // Writes the base with the trained tensors in a type of ConvertOptions, without a head, and opens
  // it.
  Result<std::shared_ptr<const Model>> save_encoder(const std::filesystem::path& path,
                                                    const std::string& type,
                                                    const std::string& name) const;
  // The adapters apart, by the weight they change; empty unless kLora.
  std::map<std::string, Adapter::Pair> adapters() const;

 private:
  Status quantize(std::vector<bool>& used, const TrainableOptions& options, ThreadPool& pool);
  // The tensors that were trained quantized, whole, as the file has them.
  Result<std::map<std::string, StoredTensor>> stored() const;
  std::vector<float> values_of(std::string_view name) const;
  LinearHead head_named(std::string_view weight, std::string_view bias) const;

  std::shared_ptr<const Model> base_;
  graph::Graph graph_;
  graph::ValueId output_, tags_, spans_;
  std::vector<graph::ValueId> projected_;
  std::vector<TokenId> used_tokens_;
  std::unique_ptr<QuantizedWeights> quantized_;  // null: none
  std::unique_ptr<ParameterSet> parameters_;
};

}  // namespace tack
