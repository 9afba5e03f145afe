#include "privacy/restorer.h"

#include <utility>

#include <fmt/format.h>

#include "privacy/pseudonym.h"

namespace tack::privacy {

Restorer::Restorer(const Vault& vault, std::function<std::string(std::string_view)> write)
    : vault_(vault), write_(std::move(write)) {}

std::string Restorer::add(std::string_view piece) {
  // What is held begins with '<': together with the piece, it is read once more.
  std::string joined;
  std::string_view text = piece;
  if (!held_.empty()) {
    joined = std::move(held_).append(piece);
    held_.clear();
    text = joined;
  }
  const std::size_t longest = vault_.longest_pseudonym();
  std::string out;
  out.reserve(text.size());
  std::size_t copied = 0;
  for (std::size_t at = text.find('<'); at != std::string_view::npos; at = text.find('<', at)) {
    const std::string_view rest = text.substr(at);
    if (rest.size() < longest && may_become_pseudonym(rest)) {
      out.append(text, copied, at - copied);
      held_ = rest;
      return out;
    }
    ++at;
    const auto found = pseudonym_at(rest);
    if (!found) continue;
    const auto value = vault_.value(rest.substr(0, found->size));
    if (!value) continue;
    out.append(text, copied, at - 1 - copied);
    if (write_)
      out += write_(*value);
    else
      out += *value;
    at += found->size - 1;
    copied = at;
  }
  return out.append(text, copied);
}

std::string Restorer::finish() {
  return std::exchange(held_, {});
}

std::string json_text(std::string_view value) {
  std::string out;
  out.reserve(value.size());
  for (const char c : value) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20)
          out += fmt::format("\\u{:04x}", c);
        else
          out += c;
    }
  }
  return out;
}

std::string restore(const Vault& vault, std::string_view text) {
  Restorer restorer(vault);
  std::string out = restorer.add(text);
  return out += restorer.finish();
}

}  // namespace tack::privacy
