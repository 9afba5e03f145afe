#include "gateway/learned_router.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tensor/convert.h"

namespace tack::gateway {
namespace {

constexpr std::string_view kCard = "tack.router";

std::size_t index(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

// [rows, columns] to [columns, rows].
std::vector<float> transposed(std::span<const float> matrix, std::size_t columns) {
  if (columns == 0) return {};
  const std::size_t rows = matrix.size() / columns;
  std::vector<float> out(matrix.size());
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < columns; ++c) out[c * rows + r] = matrix[r * columns + c];
  return out;
}

template <class T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

// The values of a tensor that must have this type and so many dimensions.
template <class T>
Result<std::vector<T>> values_of(const GgufFile& file, std::string_view name, DType dtype,
                                 std::size_t dimensions) {
  const GgufTensor* tensor = file.find_tensor(name);
  if (tensor == nullptr) return fail("tensor '{}' is missing", name);
  const TensorView& view = tensor->view;
  if (view.dtype != dtype || view.shape.size() != dimensions)
    return fail("tensor '{}' is {} {}, not {} with {} dimensions", name, info(view.dtype).name,
                to_string(view.shape), info(dtype).name, dimensions);
  std::vector<T> values(view.bytes.size() / sizeof(T));
  std::memcpy(values.data(), view.bytes.data(), values.size() * sizeof(T));
  return values;
}

Result<Forest> forest_of(const GgufFile& file, std::size_t features, std::size_t outputs) {
  Forest forest;
  forest.features = static_cast<std::int32_t>(features);
  forest.outputs = static_cast<std::int32_t>(outputs);
  TACK_TRY(forest.roots, values_of<std::int32_t>(file, "forest.roots", DType::kI32, 1));
  TACK_TRY(const auto next, values_of<std::int32_t>(file, "forest.next", DType::kI32, 1));
  TACK_TRY(const auto feature, values_of<std::int16_t>(file, "forest.feature", DType::kI16, 1));
  TACK_TRY(const auto threshold, values_of<float>(file, "forest.threshold", DType::kF32, 1));
  TACK_TRY(forest.values, values_of<float>(file, "forest.value", DType::kF32, 2));
  if (next.size() != feature.size() || next.size() != threshold.size())
    return fail("the forest's tensors tell of {}, {} and {} nodes", next.size(), feature.size(),
                threshold.size());
  forest.nodes.resize(next.size());
  for (std::size_t i = 0; i < next.size(); ++i)
    forest.nodes[i] = {threshold[i], next[i], feature[i]};
  return forest;
}

bool all_finite(std::span<const float> values) {
  return std::ranges::all_of(values, [](float v) { return std::isfinite(v); });
}

}  // namespace

void narrow(std::span<const float> vector, std::span<const float> directions,
            std::span<float> out) {
  std::ranges::fill(out, 0.0F);
  const float* row = directions.data();
  for (const float factor : vector) {
    for (std::size_t k = 0; k < out.size(); ++k) out[k] += factor * row[k];
    row += out.size();
  }
}

Result<std::shared_ptr<const LearnedRouter>> LearnedRouter::open(
    const std::filesystem::path& path) {
  TACK_TRY(const GgufFile file, GgufFile::open(path));
  return from_file(file);
}

Result<std::shared_ptr<const LearnedRouter>> LearnedRouter::parse(std::span<const std::byte> bytes,
                                                                  std::string_view name) {
  TACK_TRY(const GgufFile file, GgufFile::parse(bytes, name));
  return from_file(file);
}

Result<std::shared_ptr<const LearnedRouter>> LearnedRouter::from_file(const GgufFile& file) {
  if (file.find(kCard) == nullptr)
    return fail("{}: no router (it has no {}); `tack route train` makes one", file.name(), kCard);
  const auto read = [&]() -> Result<std::shared_ptr<const LearnedRouter>> {
    TACK_TRY(const std::string text, file.string(kCard));
    TACK_TRY(const Json json, parse_json(text, kCard));
    TACK_TRY(RouterCard card, router_card_from(json));
    TACK_TRY(auto directions, values_of<float>(file, "router.directions", DType::kF32, 2));
    TACK_TRY(auto typical, values_of<float>(file, "router.typical", DType::kF32, 1));
    TACK_TRY(Forest forest, forest_of(file, typical.size(), card.models.size()));
    return make(std::move(card), std::move(directions), std::move(typical), std::move(forest));
  };
  auto router = read();
  if (!router) return std::unexpected(std::move(router).error().in(file.name()));
  return router;
}

Result<std::shared_ptr<const LearnedRouter>> LearnedRouter::make(RouterCard card,
                                                                 std::vector<float> directions,
                                                                 std::vector<float> typical,
                                                                 Forest forest) {
  const std::shared_ptr<LearnedRouter> router(new LearnedRouter);
  router->card_ = std::move(card);
  router->typical_ = std::move(typical);
  router->forest_ = std::move(forest);
  const std::size_t dims = index(router->dims());
  if (directions.size() % dims != 0 || !all_finite(directions) || !all_finite(router->typical_))
    return fail("router.directions has {} values for {} dimensions, or not all are numbers",
                directions.size(), dims);
  router->directions_ = transposed(directions, dims);
  TACK_RETURN_IF_ERROR(router->check());
  return router;
}

Result<std::shared_ptr<const LearnedRouter>> LearnedRouter::with_card(RouterCard card) const {
  return make(std::move(card), transposed(directions_, directions_.size() / index(dims())),
              typical_, forest_);
}

Status LearnedRouter::check() const {
  const std::size_t components = directions_.size() / index(dims());
  if (components > index(kComponents))
    return fail("router.directions has {} rows, at most {} are read", components, kComponents);
  if (typical_.size() != kForms + components || features() != typical_.size())
    return fail("router.typical has {} values for {} features", typical_.size(),
                kForms + components);
  if (index(forest_.outputs) != models())
    return fail("the forest predicts {} models of {}", forest_.outputs, models());
  return forest_.check();
}

Result<GgufWriter> LearnedRouter::writer() const {
  GgufWriter writer;
  writer.set("general.architecture", GgufValue::string("tack-router"));
  writer.set("general.type", GgufValue::string("router"));
  writer.set(std::string(kCard), GgufValue::string(to_text(to_json(card_))));
  const std::int64_t components = static_cast<std::int64_t>(directions_.size()) / dims();
  writer.add_tensor("router.directions", DType::kF32, {components, dims()},
                    bytes_of(transposed(directions_, index(components))));
  const auto size = [](const auto& values) { return static_cast<std::int64_t>(values.size()); };
  writer.add_tensor("router.typical", DType::kF32, {size(typical_)}, bytes_of(typical_));
  std::vector<std::int32_t> next;
  std::vector<std::int16_t> feature;
  std::vector<float> threshold;
  for (const Forest::Node& node : forest_.nodes) {
    next.push_back(node.next);
    feature.push_back(static_cast<std::int16_t>(node.feature));
    threshold.push_back(node.threshold);
  }
  writer.add_tensor("forest.roots", DType::kI32, {size(forest_.roots)}, bytes_of(forest_.roots));
  writer.add_tensor("forest.next", DType::kI32, {size(next)}, bytes_of(next));
  writer.add_tensor("forest.feature", DType::kI16, {size(feature)}, bytes_of(feature));
  writer.add_tensor("forest.threshold", DType::kF32, {size(threshold)}, bytes_of(threshold));
  writer.add_tensor("forest.value", DType::kF32, {forest_.leaves(), forest_.outputs},
                    bytes_of(forest_.values));
  return writer;
}

Status LearnedRouter::write(const std::filesystem::path& path) const {
  TACK_TRY(const GgufWriter out, writer());
  return out.write(path);
}

Result<std::string> LearnedRouter::to_bytes() const {
  TACK_TRY(const GgufWriter out, writer());
  return out.to_bytes();
}

Status LearnedRouter::features_of(std::string_view text, std::span<const float> embedding,
                                  std::span<float> out) const {
  if (embedding.size() != (needs_embedding() ? index(dims()) : 0))
    return fail(ErrorCode::kUsage, "the router reads embeddings of {} numbers, not {}",
                needs_embedding() ? dims() : 0, embedding.size());
  thread_local TextFeatures reader;
  thread_local std::vector<float> hashed(index(kHashedDims));
  reader.read(text);
  std::ranges::copy(reader.form(), out.begin());
  const std::span components = out.subspan(kForms);
  if (needs_embedding()) {
    narrow(embedding, directions_, components);
  } else {
    hashed_vector(reader.ngrams(), hashed);
    narrow(hashed, directions_, components);
  }
  return {};
}

Status LearnedRouter::quality(std::string_view text, std::span<const float> embedding,
                              std::span<float> out) const {
  std::array<float, kForms + kComponents> features;
  const std::span used(features.data(), typical_.size());
  TACK_RETURN_IF_ERROR(features_of(text, embedding, used));
  forest_.predict(used, out);
  return {};
}

}  // namespace tack::gateway
