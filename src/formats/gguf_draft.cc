#include "formats/gguf_draft.h"

#include <algorithm>
#include <memory>

namespace tack {
namespace {

constexpr std::uint64_t kAlignment = 32;  // of tensors, as GgufWriter has it

}  // namespace

void GgufDraft::set(std::string key, GgufValue value) {
  const auto found = std::ranges::find(keys_, key, [](const auto& entry) { return entry.first; });
  if (found != keys_.end())
    found->second = std::move(value);
  else
    keys_.emplace_back(std::move(key), std::move(value));
}

void GgufDraft::add_view(std::string name, const TensorView& view) {
  add_source(std::move(name), view.dtype, view.shape,
             [bytes = view.bytes](const GgufWriter::Sink& sink) { return sink(bytes); });
}

void GgufDraft::add_source(std::string name, DType dtype, Shape shape, GgufWriter::Source source) {
  tensors_.push_back({std::move(name), dtype, std::move(shape), std::move(source)});
}

void GgufDraft::add_f32(std::string name, Shape shape, const std::vector<float>& values) {
  const auto owned = std::make_shared<const std::vector<float>>(values);
  add_source(std::move(name), DType::kF32, std::move(shape), [owned](const GgufWriter::Sink& sink) {
    return sink(std::as_bytes(std::span(*owned)));
  });
}

// What stands before the tensors is as long whatever their sizes are: a file of empty ones has it.
Result<std::uint64_t> GgufDraft::file_bytes() const {
  GgufWriter empty;
  for (const auto& [key, value] : keys_) empty.set(key, value);
  std::uint64_t bytes = 0;
  for (const Tensor& tensor : tensors_) {
    const auto size =
        storage_bytes(tensor.dtype, static_cast<std::uint64_t>(element_count(tensor.shape)));
    if (!size)
      return fail("tensor '{}' {} is no whole number of {}'s blocks", tensor.name,
                  to_string(tensor.shape), info(tensor.dtype).name);
    bytes += (*size + kAlignment - 1) / kAlignment * kAlignment;
    empty.add_tensor_source(tensor.name, tensor.dtype, Shape(tensor.shape.size(), 0),
                            [](const GgufWriter::Sink&) -> Status { return {}; });
  }
  TACK_TRY(const std::string header, empty.to_bytes());
  return header.size() + bytes;
}

Result<std::string> GgufDraft::keys_only() const {
  GgufWriter writer;
  for (const auto& [key, value] : keys_) writer.set(key, value);
  return writer.to_bytes();
}

Status GgufDraft::write(const std::filesystem::path& path) const {
  GgufWriter writer;
  for (const auto& [key, value] : keys_) writer.set(key, value);
  for (const Tensor& tensor : tensors_)
    writer.add_tensor_source(tensor.name, tensor.dtype, tensor.shape, tensor.source);
  return writer.write(path);
}

}  // namespace tack
