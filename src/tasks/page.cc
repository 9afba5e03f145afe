#include "tasks/page.h"

#include <fmt/format.h>

namespace tack {
namespace {

constexpr std::string_view kStyle =
    ":root{color-scheme:light dark}"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{text-align:left;padding:.15rem .8rem .15rem 0}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}"
    "svg text{font:11px system-ui,sans-serif;fill:currentColor}"
    ".axis,.frame{stroke:currentColor;stroke-opacity:.5}.bar,.right{fill:#2f7fd1}.wrong{fill:#"
    "d1492f}"
    ".row{display:flex;flex-wrap:wrap;gap:2rem}section{margin-top:2rem}";

}  // namespace

std::string html_escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string page_begin(std::string_view title) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width\"><title>{0}</title>"
      "<style>{1}</style></head><body>\n<h1>{0}</h1>\n",
      html_escaped(title), kStyle);
}

}  // namespace tack
