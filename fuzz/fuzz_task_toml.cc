// Any text as a task file: an error that names it, or a task.
#include <cstdint>
#include <cstdlib>

#include "tasks/task.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto task = tack::parse_task({reinterpret_cast<const char*>(data), size}, "fuzz.toml");
  if (!task && !task.error().message.starts_with("fuzz.toml")) std::abort();
  if (task && task->heads.empty() && task->train.path.empty()) std::abort();
  if (task && task->heads.size() == 1) std::abort();
  for (const tack::HeadTask& head : task ? task->heads : std::vector<tack::HeadTask>())
    if (head.train.path.empty() || task->of_head(head).to_json().empty()) std::abort();
  return 0;
}
