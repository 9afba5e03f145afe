// The frame of the pages that reports are: one file, light or dark as the reader's system is.
#pragma once

#include <string>
#include <string_view>

namespace tack {

std::string html_escaped(std::string_view text);
// Everything up to the body, with the title as its heading. The page ends with kPageEnd.
std::string page_begin(std::string_view title);
inline constexpr std::string_view kPageEnd = "</body></html>\n";

}  // namespace tack
