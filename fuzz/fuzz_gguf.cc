// GGUF from any bytes: an error, or tensors that lie inside them; what parses is written and parsed
// again.
#include <cstdint>
#include <cstdlib>

#include "formats/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  const auto file = tack::GgufFile::parse(bytes, "fuzz");
  if (!file) return 0;
  tack::GgufWriter writer;
  for (const auto& [key, value] : file->metadata()) writer.set(key, value);
  for (const tack::GgufTensor& tensor : file->tensors()) {
    unsigned sum = 0;
    for (std::byte b : tensor.view.bytes) sum += static_cast<unsigned>(b);
    if (sum == ~0U) std::abort();  // never: it keeps the loop, which reads every byte
    writer.add_tensor_view(tensor.name, tensor.view);
  }
  const auto written = writer.to_bytes();
  if (!written) std::abort();
  const auto again =
      tack::GgufFile::parse(std::as_bytes(std::span(written->data(), written->size())), "again");
  if (!again || again->tensors().size() != file->tensors().size()) std::abort();
  return 0;
}
