#include "gateway/sse_reader.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <utility>

namespace tack::gateway {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr std::size_t kLongestName = 64;  // of a field that is skipped

bool could_be_field(std::string_view name) {
  return name.size() <= kLongestName && std::ranges::all_of(name, [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
         });
}

// For a message: the line's beginning, printable.
std::string excerpt(std::string_view line) {
  std::string out(line.substr(0, 40));
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) c = '.';
  return out;
}

}  // namespace

void SseReader::feed(std::string_view bytes) {
  if (given_) begin_event();
  // Mostly all events have been taken, and nothing is moved.
  if (event_begin_ == buffer_.size()) {
    buffer_.clear();
  } else if (event_begin_ > 0) {
    buffer_.erase(0, event_begin_);
  }
  at_ -= event_begin_;
  scanned_ -= event_begin_;
  data_begin_ -= std::min(data_begin_, event_begin_);
  event_begin_ = 0;
  buffer_.append(bytes);
}

void SseReader::begin_event() {
  given_ = false;
  event_begin_ = at_;
  data_lines_ = 0;
  name_.clear();
  joined_.clear();
}

// Lines end with "\n", "\r\n" or "\r". The view is without the end.
std::optional<std::string_view> SseReader::next_line() {
  if (at_ == buffer_.size()) return std::nullopt;
  if (std::exchange(skip_newline_, false) && buffer_[at_] == '\n') ++at_;
  const std::size_t from = std::max(at_, scanned_);
  const char* const begin = buffer_.data() + from;
  const std::size_t size = buffer_.size() - from;
  const auto* newline = static_cast<const char*>(std::memchr(begin, '\n', size));
  const std::size_t before = newline != nullptr ? static_cast<std::size_t>(newline - begin) : size;
  const auto* end = static_cast<const char*>(std::memchr(begin, '\r', before));
  skip_newline_ = end != nullptr;
  if (end == nullptr) end = newline;
  scanned_ = buffer_.size();
  if (end == nullptr && (!ended_ || at_ == buffer_.size())) return std::nullopt;
  const std::size_t stop =
      end != nullptr ? static_cast<std::size_t>(end - buffer_.data()) : buffer_.size();
  const std::string_view line = std::string_view(buffer_).substr(at_, stop - at_);
  at_ = std::min(buffer_.size(), stop + 1);
  scanned_ = at_;
  return line;
}

Status SseReader::take_field(std::string_view line) {
  const std::size_t colon = std::min(line.find(':'), line.size());
  const std::string_view name = line.substr(0, colon);
  std::string_view value = line.substr(std::min(line.size(), colon + 1));
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (name == "data") {
    // The second line is where copying begins.
    if (data_lines_ == 1) joined_.assign(buffer_, data_begin_, data_size_);
    if (data_lines_ >= 1) joined_.append("\n").append(value);
    data_begin_ = static_cast<std::size_t>(value.data() - buffer_.data());
    data_size_ = value.size();
    ++data_lines_;
  } else if (name == "event") {
    name_ = value;
  } else if (!could_be_field(name)) {
    return fail("not an event stream: \"{}\"", excerpt(line));
  }
  if (data_lines_ == 0 && name_.empty()) event_begin_ = at_;  // comments need no memory
  return {};
}

// False: not enough has come to tell whether there is a byte order mark.
bool SseReader::start() {
  const std::string_view head = std::string_view(buffer_).substr(0, kByteOrderMark.size());
  if (head.size() < kByteOrderMark.size() && kByteOrderMark.starts_with(head) && !ended_)
    return false;
  if (head == kByteOrderMark) at_ = scanned_ = event_begin_ = kByteOrderMark.size();
  return started_ = true;
}

Result<std::optional<SseEvent>> SseReader::next() {
  if (given_) begin_event();
  if (!started_ && !start()) return std::nullopt;
  while (true) {
    const auto line = next_line();
    if ((line ? at_ : buffer_.size()) - event_begin_ > limit_)
      return fail("an event of more than {} bytes", limit_);
    if (line && !line->empty()) {
      TACK_RETURN_IF_ERROR(take_field(*line));
      continue;
    }
    if (data_lines_ > 0 && (line || ended_)) break;
    if (!line) return std::nullopt;
    begin_event();  // a blank line between events, or after comments
  }
  given_ = true;
  const std::string_view data = data_lines_ == 1
                                    ? std::string_view(buffer_).substr(data_begin_, data_size_)
                                    : std::string_view(joined_);
  return SseEvent{name_, data};
}

}  // namespace tack::gateway
