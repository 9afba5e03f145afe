// Any text as a task file: an error that names it, or a task.
#include <cstdint>
#include <cstdlib>

#include "tasks/task.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto task = tack::parse_task({reinterpret_cast<const char*>(data), size}, "fuzz.toml");
  if (task ? task->train.path.empty() : !task.error().message.starts_with("fuzz.toml"))
    std::abort();
  return 0;
}
