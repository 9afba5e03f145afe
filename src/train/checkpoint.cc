#include "train/checkpoint.h"

#include <cstring>
#include <sstream>

#include "formats/gguf.h"

namespace tack {
namespace {

constexpr const char* kDescription = "tack.training.description";
constexpr const char* kState = "tack.training.state";

// "was X, is Y" of the first line that differs.
std::string first_difference(const std::string& before, const std::string& now) {
  std::istringstream a(before), b(now);
  std::string x, y;
  while (true) {
    const bool more_a = static_cast<bool>(std::getline(a, x));
    const bool more_b = static_cast<bool>(std::getline(b, y));
    if (!more_a) x = "(nothing)";
    if (!more_b) y = "(nothing)";
    if (x != y || (!more_a && !more_b)) return fmt::format("was '{}', is '{}'", x, y);
  }
}

}  // namespace

Status write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint) {
  GgufWriter writer;
  writer.set("general.architecture", GgufValue::string("tack-training"));
  writer.set(kDescription, GgufValue::string(checkpoint.description));
  writer.set(kState, GgufValue::string(to_text(checkpoint.state)));
  for (const auto& array : checkpoint.arrays) {
    TensorView view;
    view.dtype = DType::kF32;
    view.shape = {static_cast<std::int64_t>(array.values.size())};
    view.bytes = std::as_bytes(array.values);
    writer.add_tensor_view(array.name, view);
  }
  auto written = writer.write(path);
  if (!written) return std::unexpected(std::move(written.error()).in("writing the checkpoint"));
  return {};
}

Status read_checkpoint(const std::filesystem::path& path, Checkpoint& checkpoint) {
  TACK_TRY(const GgufFile file, GgufFile::open(path));
  TACK_TRY(const std::string description, file.string(kDescription));
  if (description != checkpoint.description)
    return fail(ErrorCode::kUsage,
                "{}: this checkpoint belongs to a run that was set up otherwise: {}; undo the "
                "change to go on, or remove the file to start again",
                path.string(), first_difference(description, checkpoint.description));
  TACK_TRY(const std::string state, file.string(kState));
  TACK_TRY(checkpoint.state, parse_json(state, path.string()));
  for (auto& array : checkpoint.arrays) {
    const GgufTensor* tensor = file.find_tensor(array.name);
    if (tensor == nullptr || tensor->view.dtype != DType::kF32 ||
        tensor->view.bytes.size() != array.values.size_bytes())
      return fail(
          "{}: the checkpoint's '{}' is missing or has another size; remove the file to "
          "start again",
          path.string(), array.name);
    std::memcpy(array.values.data(), tensor->view.bytes.data(), array.values.size_bytes());
  }
  return {};
}

}  // namespace tack
