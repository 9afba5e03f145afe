// Any bytes as an event stream: the same events however the bytes are cut, never more data than
// came, and the limit of an event is kept.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "gateway/sse_reader.h"

namespace {

constexpr std::size_t kLimit = 256;

struct Read {
  std::vector<std::string> events;
  bool failed = false;
  bool operator==(const Read&) const = default;
};

Read read(std::string_view bytes, std::size_t piece) {
  tack::gateway::SseReader reader(kLimit);
  Read out;
  std::size_t given = 0, came = 0;
  const auto take = [&] {
    while (true) {
      const auto event = reader.next();
      out.failed = !event;
      if (!event || !*event) return !out.failed;
      if ((*event)->data.size() > kLimit) std::abort();
      given += (*event)->data.size() + (*event)->name.size();
      if (given > came) std::abort();
      out.events.push_back(std::string((*event)->name) + "\n" + std::string((*event)->data));
    }
  };
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    const std::string part(bytes.substr(at, piece));  // its own memory, so that overruns show
    came += part.size();
    reader.feed(part);
    if (!take()) return out;
  }
  reader.end();
  take();
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Read whole = read(bytes, bytes.size() + 1);
  if (read(bytes, 1) != whole) std::abort();
  if (read(bytes, std::size_t{data[0]} + 1) != whole) std::abort();
  return 0;
}
