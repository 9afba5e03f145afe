// LoRA adapters as files of their own, beside the model they change.
//
// GGUF, as llama.cpp reads adapters: general.type "adapter", adapter.type "lora",
// adapter.lora.alpha, tensors TARGET.lora_a [rank, in] and TARGET.lora_b [out, rank]. What a task
// needs besides stands in metadata: tack.adapter (base and its SHA-256), the labels, and the head
// as arrays tack.head_weight and tack.head_bias. Model::open() takes such a file like a model: it
// finds the base, and merges W + (alpha / rank) B A into a copy in the base's types.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "models/model.h"

namespace tack {

struct Adapter {
  struct Pair {
    std::vector<float> a, b;  // [rank, in], [out, rank]
  };
  std::int64_t rank = 0;
  std::map<std::string, Pair> pairs;  // by the weight they change
  std::vector<std::string> labels;
  std::vector<float> head_weight, head_bias;  // [labels, embedding_dim], [labels]
  Json task, calibration, lineage;
  Json heads = {};  // tack.heads; null: one head
};

// Atomic. The base is named by its file's stem and hash.
Status write_adapter(const Model& base, const Adapter& adapter, const std::filesystem::path& path);

// The same for PEFT: adapter_model.safetensors and adapter_config.json in `directory`, without the
// head. Names are those of the Hugging Face model.
Status write_peft_adapter(const Model& base, const Adapter& adapter,
                          const std::filesystem::path& directory);

}  // namespace tack
