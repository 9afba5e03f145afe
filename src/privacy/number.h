// A number as people write it: groups of digits with one separator between.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

#include "privacy/scan_text.h"

namespace tack::privacy {

struct Number {
  struct Group {
    std::uint8_t digits = 0;
    char separator = 0;   // before it; 0: the first
    std::size_t end = 0;  // scan position
  };
  static constexpr std::size_t kMostGroups = 9, kMostDigits = 24;

  std::size_t begin = 0;
  std::array<std::uint8_t, kMostDigits> digits{};  // values
  std::size_t digit_count = 0;
  std::array<Group, kMostGroups> groups{};
  std::size_t group_count = 0;  // 0: longer than any number that is looked for

  // Whether the first groups have these lengths, with separators as written: "--" or ".." for two;
  // one character for all of them alike.
  bool written(std::initializer_list<std::uint8_t> lengths, std::string_view separators) const;
  std::span<const std::uint8_t> first(std::size_t n) const { return std::span(digits).first(n); }
};

// From its first digit on. Groups are read until one does not fit.
Number parse_number(const ScanText& text, std::size_t digit);

}  // namespace tack::privacy
