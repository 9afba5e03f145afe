#include "compress/importance.h"

#include <algorithm>

namespace tack {

std::vector<float> ImportanceMatrix::means(std::string_view weight) const {
  const auto found = tensors.find(weight);
  if (found == tensors.end() || found->second.rows == 0) return {};
  std::vector<float> out = found->second.squares;
  const auto rows = static_cast<float>(found->second.rows);
  std::ranges::for_each(out, [rows](float& x) { x /= rows; });
  return out;
}

}  // namespace tack
