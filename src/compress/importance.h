// What the columns of weights are worth: second moments of the values that each linear layer reads,
// summed over a text. llama.cpp calls it an importance matrix.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tack {

struct ImportanceMatrix {
  struct Column {
    std::vector<float> squares;  // [in]: sums over rows of x_k^2
    std::int64_t rows = 0;       // tokens that were summed
  };
  std::map<std::string, Column, std::less<>> tensors;  // by the weight's name in GGUF
  std::vector<std::string> datasets;                   // where the texts were from
  std::int64_t chunks = 0, chunk_size = 0;             // tokens of a chunk

  // Mean squares of what the weight reads, [in]; empty when it was not measured.
  std::vector<float> means(std::string_view weight) const;
};

}  // namespace tack
