#include "net/client_message.h"

#include <charconv>

namespace tack::net {
namespace {

constexpr std::uint32_t kHeaderLimit = 64 * 1024;  // bytes; some services send long cookies

void append_number(std::string& out, std::size_t number) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  out.append(digits, end);
}

}  // namespace

std::string request_head(std::string_view method, std::string_view target, std::string_view host,
                         const Headers& headers, std::size_t body_bytes, bool keep_alive) {
  std::string out;
  out.reserve(512);
  out.append(method).append(" ").append(target).append(" HTTP/1.1\r\nHost: ").append(host);
  for (const auto& [name, value] : headers)
    out.append("\r\n").append(name).append(": ").append(value);
  if (!keep_alive) out.append("\r\nConnection: close");
  if (body_bytes > 0 || method == "POST" || method == "PUT") {
    out.append("\r\nContent-Length: ");
    append_number(out, body_bytes);
  }
  out.append("\r\n\r\n");
  return out;
}

AnswerParser::AnswerParser(bool head_request, std::optional<std::uint64_t> limit) {
  eager(true);
  skip(head_request);
  header_limit(kHeaderLimit);
  if (limit)
    body_limit(*limit);
  else
    body_limit(boost::none);
}

}  // namespace tack::net
