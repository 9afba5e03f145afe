#include "compress/quantization_plan.h"

#include <algorithm>

#include "base/checked.h"
#include "kernels/kernels.h"
#include "models/layers.h"
#include "models/smoothing.h"
#include "tensor/blocks.h"

namespace tack {
namespace {

// Tensors begin at multiples of it.
constexpr std::uint64_t kAlignment = 32;

// What a budget chooses from, and llama.cpp's names of files that are mostly of the type, alone and
// among others.
struct Candidate {
  DType dtype;
  std::uint32_t file_type, mixed_file_type;
};
constexpr Candidate kCandidates[] = {
    {DType::kQ2_K, 21, 10}, {DType::kQ3_K, 11, 12},   {DType::kIQ4_XS, 30, 30},
    {DType::kQ4_K, 14, 15}, {DType::kIQ4_NL, 25, 25}, {DType::kQ4_0, 2, 2},
    {DType::kQ4_1, 3, 3},   {DType::kQ5_K, 16, 17},   {DType::kQ5_0, 8, 8},
    {DType::kQ5_1, 9, 9},   {DType::kQ6_K, 18, 18},   {DType::kQ8_0, 7, 7},
    {DType::kBF16, 32, 32}, {DType::kF16, 1, 1},      {DType::kF32, 0, 0},
};

std::uint32_t file_type_of(DType dtype, bool mixed) {
  const auto* found = std::ranges::find(kCandidates, dtype, &Candidate::dtype);
  if (found == std::ranges::end(kCandidates)) return 1;
  return mixed ? found->mixed_file_type : found->file_type;
}

// Whether values of `from` lose nothing as `to`.
bool exact(DType from, DType to) {
  return from == to || to == DType::kF32;
}

// The types of blocks that can be written and that the engine multiplies as they are; of those that
// are exact the smallest, or f16 of f32.
std::vector<DType> possible_types(DType from, std::int64_t cols) {
  std::vector<DType> types;
  for (const Candidate& candidate : kCandidates) {
    const DType type = candidate.dtype;
    const bool blocks = info(type).block_elements > 1;
    if (cols % info(type).block_elements != 0) continue;
    if (blocks ? block_writer(type) != nullptr && kernels::has_block_product(type)
               : exact(from, type) || (type == DType::kF16 && from == DType::kF32))
      types.push_back(type);
  }
  // f32 only of what f32 alone is exact for.
  if (from != DType::kF32) std::erase(types, DType::kF32);
  return types;
}

bool keeps_precision(const Architecture& architecture, std::string_view name) {
  return architecture.keeps_precision != nullptr && architecture.keeps_precision(name);
}

}  // namespace

std::uint64_t stored_bytes(DType type, const Shape& shape) {
  const auto bytes = storage_bytes(type, static_cast<std::uint64_t>(element_count(shape)));
  return round_up<std::uint64_t>(bytes.value_or(0), kAlignment);
}

Result<Quantizable> Quantizable::open(const std::filesystem::path& path,
                                      std::shared_ptr<const Model> model, bool requantize) {
  if (model->gguf() == nullptr && !std::filesystem::is_directory(path))
    return fail(ErrorCode::kUsage,
                "{} is an adapter: the merged model was written beside it when it was built",
                path.string());
  Quantizable out;
  out.path_ = path;
  out.model_ = std::move(model);
  TACK_TRY(out.architecture_, find_architecture(out.model_->architecture()));
  for (const graph::Weight& weight : out.model_->graph().weights()) {
    Tensor tensor;
    tensor.weight = &weight;
    tensor.view = &out.model_->tensor(weight);
    const DType from = tensor.view->dtype;
    if (info(from).block_elements > 1 && !requantize)
      return fail(ErrorCode::kUsage,
                  "{} is quantised already ('{}' is {}): what that lost stays lost; take the "
                  "model it was made from, or --requantize",
                  path.string(), weight.name, info(from).name);
    const bool kept = is_head(weight.name) || keeps_precision(*out.architecture_, weight.name);
    tensor.open = weight.shape.size() >= 2 && !kept;
    // Positions in f16: as exact as the noise of their training, and llama.cpp reads them.
    if (kept && weight.shape.size() >= 2 && weight.name.starts_with("position"))
      tensor.fixed = DType::kF16;
    if (tensor.open) tensor.possible = possible_types(from, weight.shape.back());
    out.tensors_.push_back(std::move(tensor));
  }
  return out;
}

std::int64_t Quantizable::parameters() const {
  std::int64_t count = 0;
  for (const Tensor& tensor : tensors_) count += element_count(tensor.weight->shape);
  return count;
}

Result<QuantizationPlan> Quantizable::uniform(std::string_view type, std::int64_t& others) const {
  TACK_TRY(const ConversionTarget target, conversion_target(type));
  if (target.int8)
    return fail(ErrorCode::kUsage, "int8 is a type of tack convert: choose q8_0 or another");
  QuantizationPlan plan;
  plan.file_type = target.file_type;
  others = 0;
  for (const Tensor& tensor : tensors_) {
    const graph::Weight& weight = *tensor.weight;
    const DType wanted = wanted_dtype(*architecture_, weight, target);
    const DType to = fitting_dtype(wanted, weight.shape.back());
    if (to != wanted) ++others;
    plan.types[weight.name] = to;
  }
  return plan;
}

QuantizationPlan Quantizable::mixed(const std::map<std::string, DType, std::less<>>& open) const {
  QuantizationPlan plan;
  std::map<DType, std::int64_t> weights;
  for (const Tensor& tensor : tensors_) {
    const auto chosen = open.find(tensor.weight->name);
    const DType type = chosen == open.end() ? tensor.fixed : chosen->second;
    plan.types[tensor.weight->name] = type;
    if (tensor.open) weights[type] += element_count(tensor.weight->shape);
  }
  const auto most =
      std::ranges::max_element(weights, {}, [](const auto& entry) { return entry.second; });
  if (most != weights.end()) plan.file_type = file_type_of(most->first, weights.size() > 1);
  return plan;
}

Result<GgufWriter> Quantizable::writer(const QuantizationPlan& plan, const Source& source) const {
  GgufWriter writer;
  TACK_RETURN_IF_ERROR(copy_metadata(path_, *model_, *architecture_, writer));
  writer.set("general.file_type", GgufValue::u32(plan.file_type));
  writer.set("general.quantization_version", GgufValue::u32(2));
  for (const auto& [key, value] : extra_) writer.set(key, value);
  for (const Tensor& tensor : tensors_) {
    const graph::Weight& weight = *tensor.weight;
    const DType type = plan.types.find(weight.name)->second;
    writer.add_tensor_source(weight.name, type, weight.shape,
                             [source, &tensor, type](const GgufWriter::Sink& sink) -> Status {
                               Status status = source(tensor, type, sink);
                               if (!status)
                                 return std::unexpected(std::move(status).error().in(
                                     fmt::format("tensor '{}'", tensor.weight->name)));
                               return {};
                             });
  }
  for (const auto& [name, values] : model_->constants()) {
    const auto bytes = std::as_bytes(std::span(values));
    writer.add_tensor(name, DType::kF32, {static_cast<std::int64_t>(values.size())},
                      {bytes.begin(), bytes.end()});
  }
  return writer;
}

Result<std::uint64_t> Quantizable::bytes_beside() const {
  if (!beside_) {
    const QuantizationPlan any = mixed({});
    TACK_TRY(const GgufWriter unwritten, writer(any, nullptr));
    TACK_TRY(const std::uint64_t bytes, unwritten.file_bytes());
    beside_ = bytes - weight_bytes(any);
  }
  return *beside_;
}

Result<std::uint64_t> Quantizable::file_bytes(const QuantizationPlan& plan) const {
  TACK_TRY(const std::uint64_t beside, bytes_beside());
  return beside + weight_bytes(plan);
}

std::uint64_t Quantizable::weight_bytes(const QuantizationPlan& plan) const {
  std::uint64_t bytes = 0;
  for (const Tensor& tensor : tensors_)
    bytes += stored_bytes(plan.types.find(tensor.weight->name)->second, tensor.weight->shape);
  return bytes;
}

}  // namespace tack
