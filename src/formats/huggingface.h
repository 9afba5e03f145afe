// A model directory as Hugging Face lays it out: config.json, the tokenizer
// (models/tokenizer_loading.h reads it), model.safetensors or model-00001-of-0000N.safetensors with
// their index, and for sentence-transformers modules.json and 1_Pooling/config.json.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "formats/safetensors.h"

namespace tack {

struct HuggingFaceDirectory {
  std::filesystem::path path;
  Json config;                           // config.json
  std::optional<Json> tokenizer_config;  // tokenizer_config.json
  std::optional<Json> pooling;           // 1_Pooling/config.json
  std::optional<Json> sentence_config;   // sentence_bert_config.json (max_seq_length)
  bool normalizes = false;             // modules.json lists sentence_transformers.models.Normalize
  std::vector<std::string> vocab_txt;  // vocab.txt, when there is one
  std::vector<SafetensorsFile> weights;

  // The first error names the file that is missing or broken.
  static Result<HuggingFaceDirectory> open(const std::filesystem::path& path);
  const TensorView* find_tensor(std::string_view name) const;
};

}  // namespace tack
