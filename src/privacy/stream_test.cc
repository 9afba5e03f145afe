// Finding in a text that comes in pieces finds the same as in the whole.
#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/random.h"
#include "privacy/finder.h"

namespace tack::privacy {
namespace {

const Finder& finder() {
  static const std::shared_ptr<const Finder> kFinder = *Finder::create();
  return *kFinder;
}

// What texts are made of: things that are found, their beginnings, and what stands between.
const std::vector<std::string>& pieces() {
  static const std::vector<std::string> kPieces = {
      "jo.doe@example.com",
      "@",
      "4111 1111 1111 1111",
      "4111111111111111",
      "1111",
      "0",
      " ",
      "  ",
      "\n",
      "\n\n",
      "-",
      ".",
      "/",
      ":",
      "(",
      ")",
      "+49 (0)30 1234567",
      "+",
      "(415) 555-0132",
      "DE89 3704 0044 0532 0130 00",
      "DE89",
      "NHS number: ",
      "943 476 5919",
      "SSN ",
      "536-22-1234",
      "AB ",
      "12 34 56 C",
      "MRN: ",
      "(MRN)",
      "482913",
      "born ",
      "March ",
      "3, 1980",
      "3 April 1980",
      "1980-04-03",
      "password: ",
      "hunter2!",
      "\"",
      "password is ",
      "sk-abcdefghij0123456789ABCD",
      "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
      "eyJ",
      "192.168.17.4",
      "2001:db8::ff00:42:8329",
      "00:1B:44:11:3A:B7",
      "https://a:b@c.de/x",
      "https://",
      "\u200b",
      "\u00ad",
      "\uFF14",
      "\u0664",
      "\xF0\x9D\x9F\x98",
      "\xC3\xA9",
      "\xE8\xBA\xAB",
      "\xFF",
      "\xE2",
      "order ",
      "call ",
      "is ",
      "RSSMRA85T10A562S",
      "X1234567L",
      "policy number ",
      "_",
      "a",
      "Z",
      "-----BEGIN PRIVATE KEY-----\n",
      "-----END PRIVATE KEY-----",
      "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj\n"};
  return kPieces;
}

std::string made_up(Random& random, std::size_t most) {
  std::string text;
  for (std::size_t n = random.below(most); n > 0; --n) {
    const std::string& piece = pieces()[random.below(pieces().size())];
    // A piece may be cut, or come again and again.
    const std::size_t times = random.below(20) == 0 ? 1 + random.below(30) : 1;
    for (std::size_t i = 0; i < times; ++i)
      text += random.below(8) == 0 ? piece.substr(0, random.below(piece.size())) : piece;
  }
  return text;
}

bool is_long(const Finding& f) {
  return f.end - f.begin > 256;
}
std::string shown_one(const Finding& f) {
  return f.entity + " " + std::to_string(f.begin) + "-" + std::to_string(f.end) + " " +
         std::to_string(f.score);
}

// What stood before the held bytes was found as in the whole text, and the rest is found with no
// more than the context kept.
std::string differs_at(const std::string& text, std::size_t split,
                       const std::vector<Finding>& whole) {
  const std::string_view begun = std::string_view(text).substr(0, split);
  const std::size_t held = finder().held_back(begun);
  if (held > Finder::kMostHeldBytes || held > split) return "holds " + std::to_string(held);
  const std::size_t cut = split - held;
  std::vector<Finding> both;
  for (Finding& f : finder().find(begun)) {
    if (f.begin >= cut) break;
    if (f.end > cut && !is_long(f)) return "cuts " + shown_one(f);
    both.push_back(f);
  }
  // Of a key that is being passed on, the rest is not found again.
  const bool open = !both.empty() && both.back().end > cut;
  std::size_t from = cut;
  if (open) {
    const auto same = std::ranges::find(whole, both.back().begin, &Finding::begin);
    if (same == whole.end() || same->entity != both.back().entity) return "another open one";
    both.back() = *same;
    from = same->end;
  }
  const std::size_t dropped = from - std::min(from, Finder::kContextBytes);
  for (Finding f : finder().find(std::string_view(text).substr(dropped), from - dropped)) {
    f.begin += dropped;
    f.end += dropped;
    both.push_back(f);
  }
  const auto [a, b] = std::ranges::mismatch(whole, both, {}, shown_one, shown_one);
  if (a == whole.end() && b == both.end()) return "";
  return "held " + std::to_string(held) + "; whole: " + (a == whole.end() ? "" : shown_one(*a)) +
         "; split: " + (b == both.end() ? "" : shown_one(*b));
}

void check_all_splits(const std::string& text) {
  const auto whole = finder().find(text);
  std::size_t end = 0;
  for (const Finding& f : whole) {
    RC_ASSERT(f.begin >= end && f.begin < f.end && f.end <= text.size());
    end = f.end;
  }
  for (std::size_t split = 0; split <= text.size(); ++split) {
    const std::string difference = differs_at(text, split, whole);
    if (!difference.empty()) {
      RC_LOG() << "split at " << split << " of " << text << "\n" << difference;
      RC_FAIL("differs");
    }
  }
}

TEST(Stream, AnySplitFindsTheSame) {
  EXPECT_TRUE(rc::check("short texts", [] {
    Random random(*rc::gen::arbitrary<std::uint64_t>());
    check_all_splits(made_up(random, 16));
  }));
}

TEST(Stream, AnySplitOfLongTexts) {
  Random random(7);
  for (int round = 0; round < 20; ++round) {
    std::string text = made_up(random, 1500);
    const auto whole = finder().find(text);
    for (int i = 0; i < 40; ++i) {
      const std::size_t split = random.below(text.size() + 1);
      ASSERT_EQ(differs_at(text, split, whole), "")
          << split << " of " << text.size() << ": "
          << text.substr(split - std::min<std::size_t>(split, 200), 260);
    }
  }
}

// Bytes that end a word elsewhere, inside of what has been begun (found by fuzz_pii).
TEST(Stream, BytesThatAreNoText) {
  for (const std::string& text :
       {"see ftp://ro" + std::string(40, '\xAC') + "ot:s3cret@10.2.0.9:5432 now",
        "mail " + std::string(50, 'a') + "@b" + std::string(40, '\xAC') + "c.de now"}) {
    const auto whole = finder().find(text);
    for (std::size_t split = 0; split <= text.size(); ++split)
      ASSERT_EQ(differs_at(text, split, whole), "") << split;
  }
}

TEST(Stream, OrdinaryWordsAreHardlyHeld) {
  EXPECT_EQ(finder().held_back("The quick brown fox jumps"), 5u);
  EXPECT_LE(finder().held_back("The quick brown fox "), 4u);
  EXPECT_EQ(finder().held_back("A sentence.\n"), 0u);
  EXPECT_EQ(finder().held_back("card 4111 1111"), 14u);
  EXPECT_EQ(finder().held_back(""), 0u);
}

// A megabyte of anything takes about as long as ten times a tenth of it.
TEST(Stream, TimeIsLinear) {
  const std::vector<std::string> units = {"1",
                                          "@",
                                          "-",
                                          "a@",
                                          "1 ",
                                          "1-",
                                          "a1",
                                          "eyJ",
                                          "eyJaaaaaaaaaaaa.",
                                          "sk-",
                                          "token=",
                                          "password: ",
                                          "-----BEGIN PRIVATE KEY-----\n",
                                          "Comment: -----BEGIN PRIVATE KEY-----\n",
                                          "\u200b1",
                                          "\uFF11",
                                          "aa:",
                                          "aa-",
                                          "1.",
                                          "\xFF",
                                          "4111 1111 1111 1111 ",
                                          "a://b:",
                                          "DE89 ",
                                          "+1 ",
                                          "(1",
                                          "AB 12 ",
                                          "is is ",
                                          "March 3, "};
  for (const std::string& unit : units) {
    const auto seconds = [&](std::size_t bytes) {
      std::string text;
      while (text.size() < bytes) text += unit;
      const auto start = std::chrono::steady_clock::now();
      finder().find(text);
      finder().held_back(text);
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    const double small = std::min(seconds(100'000), seconds(100'000)), large = seconds(1'000'000);
    // Quadratic time would be a hundred times as long.
    EXPECT_LT(large, 40 * small + 0.05) << unit;
    EXPECT_LT(large, 5.0) << unit;
    if (std::getenv("TACK_SHOW_TIMES") != nullptr)
      printf("%-40.38s %6.1f MB/s\n", unit.c_str(), 1 / large);
  }
}

}  // namespace
}  // namespace tack::privacy
