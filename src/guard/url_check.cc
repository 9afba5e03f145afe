// Links to hosts that are not allowed.
#include <algorithm>
#include <array>

#include <fmt/ranges.h>
#include <re2/re2.h>

#include "guard/check.h"

namespace tack::guard {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}
std::string lowered(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), lower);
  return out;
}

// Links with a scheme, links that programs run, and hosts that stand alone. Of domains that are
// also English words or the ends of file names ("it", "pl") a host alone is none: "Yes.It is",
// "run.pl".
const RE2& link_pattern() {
  static const std::string kLabels = "(?:[a-z0-9\\-\\x{80}-\\x{10FFFF}]+\\.)+";
  static const std::string kRest = "[^\\s<>\"`{}|^]";
  static const std::string kPort = "\\b(?::[0-9]{1,5})?";
  static const RE2 kPattern(
      "(?i)((?:[a-z][a-z0-9+.\\-]{1,20}:[/\\\\]{2}|"
      "(?:javascript|vbscript):|data:[a-z]+/|file:/|mailto:[^\\s@<>]+@|tel:\\+?[0-9])" +
      kRest + "+|" + kLabels +
      "(?:com|org|net|edu|gov|mil|int|io|ai|app|dev|co|info|biz|xyz|top|site|online|shop|club|link"
      "|click|ru|cn|de|uk|fr|es|nl|br|jp|ca|au|ch|se|eu|tk|ga|cf|gq|ly|tv|ws|su|pw)" +
      kPort + "(?:[/?#]" + kRest + "*)?|" + "(?:" + kLabels +
      "(?:it|in|at|be|to|me|no|us|pl|ml|cc)|[0-9]{1,3}(?:\\.[0-9]{1,3}){3})" + kPort + "[/?#]" +
      kRest + "*|www\\." + kLabels + "[a-z]{2,}" + kPort + ")");
  return kPattern;
}

struct Link {
  std::string scheme;  // "" where none is written
  std::string host;    // without a port
  std::string path;    // what follows the host and port
  bool has_user = false;
};

Link parse_link(std::string_view text) {
  Link link;
  const std::size_t colon = text.find(':');
  const bool hierarchical = colon != std::string_view::npos && colon + 2 < text.size() &&
                            (text[colon + 1] == '/' || text[colon + 1] == '\\');
  static constexpr std::array<std::string_view, 6> kOpaque{"javascript", "data",   "vbscript",
                                                           "file",       "mailto", "tel"};
  const std::string first = lowered(text.substr(0, colon == std::string_view::npos ? 0 : colon));
  const bool opaque = std::ranges::find(kOpaque, first) != kOpaque.end();
  if (hierarchical || opaque) {
    link.scheme = first;
    text.remove_prefix(colon + (hierarchical ? 3 : 1));
    if (!hierarchical) return link;
  }
  const std::size_t end = std::min(text.find_first_of("/\\?#"), text.size());
  std::string_view authority = text.substr(0, end);
  link.path = text.substr(end);
  if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) {
    link.has_user = true;
    authority.remove_prefix(at + 1);
  }
  if (const std::size_t port = authority.rfind(':');
      port != std::string_view::npos && !authority.ends_with(']'))
    authority = authority.substr(0, port);
  link.host = lowered(authority);
  while (link.host.ends_with('.')) link.host.pop_back();
  while (link.host.starts_with("www.")) link.host.erase(0, 4);
  return link;
}

// What `allow` says.
struct Allowed {
  std::string host;         // "example.com"
  std::string path;         // "/docs": and what is below
  bool subdomains = false;  // "*.example.com"
};

class UrlsCheck : public Check {
 public:
  UrlsCheck(std::vector<Allowed> hosts, std::vector<std::string> schemes)
      : hosts_(std::move(hosts)), schemes_(std::move(schemes)) {}

  void judge(SeenSubject& subject, std::span<const Told>, Finding& finding) const override {
    for (SeenPassage* passage : subject.untrusted())
      for (const std::string_view text : passage->readings())
        if (look(text, finding)) {
          finding.tripped = true;
          finding.reason = fmt::format("{} {}", place_of(subject, *passage), finding.reason);
          return;
        }
  }

  // A link has no white space.
  std::size_t held_back(SeenPassage& answer) const override {
    const std::string_view text = answer.raw();
    const std::size_t space = text.find_last_of(" \n\t\r");
    return space == std::string_view::npos ? text.size() : text.size() - space - 1;
  }

 private:
  // Which link it is, by its number: links are the text's own words, and may name people.
  bool look(std::string_view text, Finding& finding) const {
    re2::StringPiece rest(text.data(), text.size()), found;
    for (int number = 1; RE2::FindAndConsume(&rest, link_pattern(), &found); ++number) {
      // An address of e-mail is no link.
      const char* end = found.data() + found.size();
      if ((found.data() > text.data() && found.data()[-1] == '@') ||
          (end < text.data() + text.size() && *end == '@')) {
        --number;
        continue;
      }
      const Link link = parse_link({found.data(), found.size()});
      finding.category = why_not(link);
      if (finding.category.empty()) continue;
      finding.reason = fmt::format("has a link (number {}) {}", number, reason(finding.category));
      return true;
    }
    return false;
  }

  // "scheme", "user" or "host": what of the link is not allowed; "": it may pass.
  std::string_view why_not(const Link& link) const {
    if (!link.scheme.empty() && std::ranges::find(schemes_, link.scheme) == schemes_.end())
      return "scheme";
    if (link.has_user) return "user";
    if (link.host.empty()) return {};
    for (const Allowed& allowed : hosts_) {
      const bool same = link.host == allowed.host;
      const bool below = allowed.subdomains && link.host.ends_with("." + allowed.host);
      if ((same || below) && path_allowed(link.path, allowed.path)) return {};
    }
    return "host";
  }

  std::string reason(std::string_view what) const {
    if (what == "scheme")
      return fmt::format("of a scheme that is not allowed; allowed: {}", fmt::join(schemes_, ", "));
    return what == "user" ? "with a user's name in it, which hides where it leads"
                          : "to a host that is not allowed; add it to allow if it should be";
  }

  static bool path_allowed(std::string_view path, std::string_view allowed) {
    if (allowed.empty()) return true;
    if (!path.starts_with(allowed) || path.contains("..") || path.contains('%')) return false;
    return path.size() == allowed.size() || allowed.ends_with('/') ||
           std::string_view("/?#").contains(path[allowed.size()]);
  }

  std::vector<Allowed> hosts_;
  std::vector<std::string> schemes_;
};

}  // namespace

MadeCheck make_urls_check(const CheckConfig& config) {
  std::vector<Allowed> hosts;
  std::vector<std::string> schemes;
  for (const std::string& entry : config.allow) {
    if (entry.ends_with(':')) {
      schemes.push_back(lowered(std::string_view(entry).substr(0, entry.size() - 1)));
      continue;
    }
    Allowed allowed;
    std::string_view rest = entry;
    if (rest.starts_with("*.")) {
      allowed.subdomains = true;
      rest.remove_prefix(2);
    }
    const Link link = parse_link(rest);
    if (link.host.empty() || link.has_user || link.host.find_first_of("* ") != std::string::npos)
      return fail(ErrorCode::kUsage,
                  "allow: '{}' is neither a host (\"example.com\", \"*.example.com\", "
                  "\"example.com/docs\") nor a scheme (\"https:\")",
                  entry);
    allowed.host = link.host;
    allowed.path = link.path == "/" ? "" : link.path;
    hosts.push_back(std::move(allowed));
  }
  if (schemes.empty()) schemes = {"http", "https"};
  return std::make_unique<UrlsCheck>(std::move(hosts), std::move(schemes));
}

}  // namespace tack::guard
