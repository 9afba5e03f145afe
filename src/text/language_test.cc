#include "text/language.h"

#include <gtest/gtest.h>

namespace tack {
namespace {

TEST(Language, IsDetectedOrLeftOpen) {
  EXPECT_EQ(detect_language("My card has not arrived yet, and I am waiting for two weeks."), "en");
  EXPECT_EQ(detect_language("Meine Karte ist noch nicht angekommen, und ich warte seit Wochen."),
            "de");
  EXPECT_EQ(detect_language("私のカードはまだ届いていません。"), "ja");
  EXPECT_EQ(detect_language("x"), "");
  EXPECT_EQ(detect_language(""), "");
}

}  // namespace
}  // namespace tack
