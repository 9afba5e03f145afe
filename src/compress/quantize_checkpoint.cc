#include "compress/quantize_checkpoint.h"

#include <system_error>

#include "train/checkpoint.h"

namespace tack {
namespace {

// What all linear layers read, with room for the sums.
ImportanceMatrix empty_sums(const Model& model) {
  ImportanceMatrix matrix;
  for (const graph::Node& node : model.graph().nodes())
    if (const auto* op = std::get_if<graph::Linear>(&node.op)) {
      const graph::Weight& weight = model.graph().weight(op->weight);
      matrix.tensors[weight.name].squares.resize(static_cast<std::size_t>(weight.shape.back()));
    }
  return matrix;
}

}  // namespace

Result<bool> QuantizeCheckpoint::load(const Model& model) {
  if (path_.empty()) return false;
  sums = empty_sums(model);
  if (std::error_code ignored; !std::filesystem::exists(path_, ignored)) return false;
  Checkpoint checkpoint{description_, {}, {}};
  for (auto& [name, column] : sums.tensors) checkpoint.arrays.push_back({name, column.squares});
  TACK_RETURN_IF_ERROR(read_checkpoint(path_, checkpoint));
  try {
    next = checkpoint.state.at("next").get<std::size_t>();
    sums.chunks = static_cast<std::int64_t>(next);
    for (auto& [name, column] : sums.tensors)
      column.rows = checkpoint.state.at("rows").at(name).get<std::int64_t>();
    measured = checkpoint.state.at("measured").get<std::map<std::string, double>>();
  } catch (const Json::exception&) {
    return fail("{}: the checkpoint's state is damaged; remove the file to start again",
                path_.string());
  }
  return true;
}

Status QuantizeCheckpoint::save() const {
  if (path_.empty()) return {};
  Json rows = Json::object();
  Checkpoint checkpoint{description_, {}, {}};
  ImportanceMatrix copy = sums;
  for (auto& [name, column] : copy.tensors) {
    checkpoint.arrays.push_back({name, column.squares});
    rows[name] = column.rows;
  }
  checkpoint.state = {{"next", next}, {"rows", rows}, {"measured", measured}};
  return write_checkpoint(path_, checkpoint);
}

void QuantizeCheckpoint::remove() const {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove(path_, ignored);
}

}  // namespace tack
