// What kind = "generate" says besides the keys that all kinds share.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"

namespace tack {

struct GenerateSettings {
  std::vector<std::string> train;  // text files
  // A decoder from scratch; with a base none of these is used.
  std::string architecture = "llama";
  std::int64_t layers = 0, d = 0, heads = 0, ff = 0;
  std::int64_t kv_heads = 0;  // 0: as many as heads
  std::int64_t vocab = 4096, context = 512;
  bool tied = true;  // the head is the embedding's table
  double rope_base = 10000;
  std::string tokenizer;  // a model whose tokenizer is taken; empty: learned from the text
  // Of one step, about: documents are not cut for it.
  std::int64_t batch_tokens = 8192;

  // As in [model]; empty with a base.
  Json model_json() const;
};

}  // namespace tack
