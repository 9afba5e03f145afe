#include "eval/documents.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

namespace tack {
namespace {

using Documents = std::vector<std::string_view>;

TEST(Documents, EndAtBlankLines) {
  EXPECT_EQ(split_documents("one\nmore\n\n\ntwo\n \t\r\nthree"),
            (Documents{"one\nmore", "two", "three"}));
  EXPECT_EQ(split_documents("one\r\n\r\n  two\r\n"), (Documents{"one", "two"}));
  EXPECT_EQ(split_documents("\n\none"), Documents{"one"});
  EXPECT_TRUE(split_documents("").empty());
  EXPECT_TRUE(split_documents(" \n\n\t\n").empty());
}

TEST(Documents, EndAtTheirMarkWhereThereIsOne) {
  EXPECT_EQ(split_documents("one\n\nstill one\n<|endoftext|>\ntwo<|endoftext|><|endoftext|>"),
            (Documents{"one\n\nstill one", "two"}));
  EXPECT_EQ(split_documents("<|endoftext|>x"), Documents{"x"});
  EXPECT_TRUE(split_documents("<|endoftext|>\n").empty());
}

TEST(Documents, KeepAnyBytes) {
  const std::string text("\xff\0a\n\n\xc3", 6);
  EXPECT_EQ(split_documents(text), (Documents{std::string_view(text).substr(0, 3), "\xc3"}));
}

TEST(Documents, OfFilesInTheirOrder) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("tack_documents_" + std::to_string(::getpid()) + ".txt");
  std::ofstream(path) << "a\n\nb";
  const std::vector<std::string> twice = {path.string(), path.string()};
  const auto documents = read_documents(twice);
  ASSERT_TRUE(documents) << documents.error().message;
  EXPECT_EQ(documents->texts, (std::vector<std::string>{"a", "b", "a", "b"}));
  EXPECT_EQ(documents->sha256.size(), 64U);
  std::ofstream(path) << " \n";
  const auto empty = read_documents(twice);
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().message, path.string() + ": there is no text in it");
  std::filesystem::remove(path);
  EXPECT_FALSE(read_documents(twice));
}

}  // namespace
}  // namespace tack
