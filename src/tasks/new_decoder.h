// A decoder before its training: random weights, and a tokenizer that was learned from the text or
// taken from a model.
#pragma once

#include <cstdint>
#include <filesystem>

#include "eval/dataset.h"
#include "tasks/generate_settings.h"

namespace tack {

struct NewDecoder {
  std::int64_t vocab = 0;   // tokens; fewer than wanted where the text has no more pairs
  std::int64_t merges = 0;  // learned; 0: the tokenizer was taken
};

// Writes it as a GGUF (f32). Weights are as published for GPT-2 and used for Llama: normal with a
// deviation of 0.02, of the matrices that add to the residual stream 0.02 / sqrt(2 layers); norms
// are 1. A function of seed and sizes. A tokenizer that is learned has <|endoftext|> at 0, which
// begins and ends every text.
// Errors: sizes that do not fit; a tokenizer that cannot be taken.
Result<NewDecoder> write_new_decoder(const GenerateSettings& settings, const Dataset& text,
                                     std::uint64_t seed, const std::filesystem::path& path);

}  // namespace tack
