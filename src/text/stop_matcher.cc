#include "text/stop_matcher.h"

namespace tack {

std::int32_t StopMatcher::child(std::int32_t node, char byte) const {
  for (std::int32_t c = nodes_[static_cast<std::size_t>(node)].child; c >= 0;
       c = nodes_[static_cast<std::size_t>(c)].sibling)
    if (nodes_[static_cast<std::size_t>(c)].byte == byte) return c;
  return -1;
}

Result<StopMatcher> StopMatcher::create(std::span<const std::string> stops) {
  constexpr std::size_t kMostBytes = 1U << 20U;
  StopMatcher matcher;
  std::size_t bytes = 0;
  for (std::size_t s = 0; s < stops.size(); ++s) {
    if (stops[s].empty()) return fail(ErrorCode::kUsage, "stop string {} is empty", s + 1);
    bytes += stops[s].size();
    if (bytes > kMostBytes)
      return fail(ErrorCode::kUsage, "stop strings of more than {} bytes", kMostBytes);
    std::int32_t node = 0;
    for (const char byte : stops[s]) {
      std::int32_t next = matcher.child(node, byte);
      if (next < 0) {
        next = static_cast<std::int32_t>(matcher.nodes_.size());
        Node& parent = matcher.nodes_[static_cast<std::size_t>(node)];
        Node made;
        made.sibling = parent.child;
        made.depth = parent.depth + 1;
        made.byte = byte;
        parent.child = next;
        matcher.nodes_.push_back(made);
      }
      node = next;
    }
    std::int32_t& stop = matcher.nodes_[static_cast<std::size_t>(node)].stop;
    if (stop < 0) stop = static_cast<std::int32_t>(s);
    matcher.lengths_.push_back(static_cast<std::int64_t>(stops[s].size()));
  }
  // Breadth first: the longest proper suffix that is also a beginning.
  std::vector<std::int32_t> order{0};
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::int32_t node = order[i];
    for (std::int32_t c = matcher.nodes_[static_cast<std::size_t>(node)].child; c >= 0;
         c = matcher.nodes_[static_cast<std::size_t>(c)].sibling) {
      order.push_back(c);
      Node& made = matcher.nodes_[static_cast<std::size_t>(c)];
      if (node == 0) continue;
      std::int32_t suffix = matcher.nodes_[static_cast<std::size_t>(node)].fail;
      while (suffix > 0 && matcher.child(suffix, made.byte) < 0)
        suffix = matcher.nodes_[static_cast<std::size_t>(suffix)].fail;
      const std::int32_t longer = matcher.child(suffix, made.byte);
      made.fail = longer < 0 ? 0 : longer;
      if (made.stop < 0) made.stop = matcher.nodes_[static_cast<std::size_t>(made.fail)].stop;
    }
  }
  return matcher;
}

bool StopMatcher::feed(std::string_view piece, std::string& out) {
  if (stopped_) return true;
  for (const char byte : piece) {
    std::int32_t next = child(at_, byte);
    while (next < 0 && at_ > 0) {
      at_ = nodes_[static_cast<std::size_t>(at_)].fail;
      next = child(at_, byte);
    }
    at_ = next < 0 ? 0 : next;
    held_ += byte;
    const Node& node = nodes_[static_cast<std::size_t>(at_)];
    if (node.stop < 0) continue;
    stopped_ = true;
    stop_ = node.stop;
    out.append(held_, 0,
               held_.size() - static_cast<std::size_t>(lengths_[static_cast<std::size_t>(stop_)]));
    held_.clear();
    return true;
  }
  // Only what at_ stands for can still become a stop string.
  const auto keep = static_cast<std::size_t>(nodes_[static_cast<std::size_t>(at_)].depth);
  out.append(held_, 0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return false;
}

void StopMatcher::finish(std::string& out) {
  out += held_;
  held_.clear();
  at_ = 0;
}

}  // namespace tack
