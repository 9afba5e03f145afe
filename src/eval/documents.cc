#include "eval/documents.h"

#include <numeric>

#include "base/mapped_file.h"

namespace tack {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(kSpace);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

}  // namespace

std::vector<std::string_view> split_documents(std::string_view text) {
  std::vector<std::string_view> documents;
  const auto add = [&](std::string_view document) {
    document = trimmed(document);
    if (!document.empty()) documents.push_back(document);
  };
  const bool marked = text.find(kEndOfText) != text.npos;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    if (marked) {
      const std::size_t end = std::min(text.find(kEndOfText, at), text.size());
      add(text.substr(at, end - at));
      begin = at = std::min(end + kEndOfText.size(), text.size());
      continue;
    }
    const std::size_t end = std::min(text.find('\n', at), text.size());
    if (trimmed(text.substr(at, end - at)).empty()) {
      add(text.substr(begin, at - begin));
      begin = end;
    }
    at = end + 1;
  }
  add(text.substr(std::min(begin, text.size())));
  return documents;
}

Result<Dataset> read_documents(std::span<const std::string> paths) {
  Dataset all;
  for (const std::string& path : paths) {
    TACK_TRY(const auto file, MappedFile::open(path));
    const auto documents = split_documents(file.text());
    if (documents.empty()) return fail("{}: there is no text in it", path);
    all.texts.insert(all.texts.end(), documents.begin(), documents.end());
    all.name += (all.name.empty() ? "" : ", ") + path;
  }
  all.labels.assign(all.texts.size(), 0);
  std::vector<std::size_t> every(all.size());
  std::iota(every.begin(), every.end(), std::size_t{0});
  return all.subset(every);  // with its hash
}

}  // namespace tack
