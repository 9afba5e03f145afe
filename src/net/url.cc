#include "net/url.h"

#include <charconv>

namespace tack::net {

std::string Url::host_header() const {
  const std::string name = host.find(':') == host.npos ? host : "[" + host + "]";
  return port == (tls ? 443 : 80) ? name : fmt::format("{}:{}", name, port);
}

Result<Url> parse_url(std::string_view text) {
  Url url;
  std::string_view rest = text;
  if (rest.starts_with("https://"))
    url.tls = true;
  else if (!rest.starts_with("http://"))
    return fail(ErrorCode::kUsage, "'{}' is not a URL: it must start with http:// or https://",
                text);
  rest.remove_prefix(url.tls ? 8 : 7);
  for (const char c : rest)
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f)
      return fail(ErrorCode::kUsage, "'{}' is not a URL: it holds a space or control character",
                  text);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  rest.remove_prefix(authority.size());
  rest = rest.substr(0, rest.find('#'));
  url.target = (rest.starts_with('/') ? "" : "/") + std::string(rest);
  if (authority.find('@') != authority.npos)
    return fail(ErrorCode::kUsage, "a URL with a user name: put credentials into a header");

  const std::size_t bracket = authority.starts_with('[') ? authority.find(']') : 0;
  if (bracket == authority.npos) return fail(ErrorCode::kUsage, "'{}' is not a URL", text);
  const std::size_t colon = authority.find(':', bracket);
  url.host = bracket > 0 ? authority.substr(1, bracket - 1) : authority.substr(0, colon);
  if (url.host.empty()) return fail(ErrorCode::kUsage, "'{}' is not a URL: no host", text);
  url.port = url.tls ? 443 : 80;
  if (colon == authority.npos) return url;
  const std::string_view port = authority.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), url.port);
  if (error != std::errc() || end != port.data() + port.size() || url.port == 0)
    return fail(ErrorCode::kUsage, "'{}' is not a URL: bad port '{}'", text, port);
  return url;
}

}  // namespace tack::net
